"""Moments from blocks are those of all examples, however they are cut and merged."""

import numpy as np
import pytest

from scoresde_jax.evaluation import moments, no_sums


def features(count=997, dims=12, seed=0):
    """Correlated, and far from 0: sums of squares alone would lose eight digits of them."""
    rng = np.random.default_rng(seed)
    return 1e4 + rng.normal(size=(count, dims)) @ rng.normal(size=(dims, dims))


def two_pass(x):
    mean = x.mean(0)
    return mean, (x - mean).T @ (x - mean) / (len(x) - 1)


def check(found, x):
    """To 1e-10 of the largest covariance."""
    mean, covariance = two_pass(x)
    assert found.count == len(x)
    np.testing.assert_allclose(found.mean, mean, rtol=1e-12)
    np.testing.assert_allclose(
        found.covariance, covariance, rtol=0, atol=1e-10 * np.abs(covariance).max()
    )


@pytest.mark.parametrize("block", [1, 7, 64, 300, 997, 5000])
def test_streaming_equals_two_passes(block):
    x = features()
    sums = no_sums(12)
    for first in range(0, len(x), block):
        sums = sums.update(x[first : first + block])
    check(sums.moments(), x)


def test_processes_may_share_the_examples_unevenly():
    x = features()
    shares = np.split(x, [3, 3, 500])  # the second has none
    sums = [no_sums(12).update(share) for share in shares]
    check(sums[3].merge(sums[1]).merge(sums[0].merge(sums[2])).moments(), x)
    assert no_sums(12).merge(no_sums(12)).count == 0


def test_blocks_of_float32_are_summed_in_float64():
    x = features().astype(np.float32)
    sums = no_sums(12).update(x[:500]).update(x[500:])
    check(sums.moments(), x.astype(np.float64))


def test_moments_are_the_examples():
    x = np.random.default_rng(0).normal(size=(50, 3)) @ np.diag([1.0, 2, 3]) + 4
    found = moments(x)
    np.testing.assert_allclose(found.mean, x.mean(0))
    np.testing.assert_allclose(found.covariance, np.cov(x.T))
    assert moments(x[:, :1]).covariance.shape == (1, 1)
    with pytest.raises(ValueError, match="two examples or more; got 1"):
        moments(x[:1])


def test_a_nan_is_not_averaged_away():
    x = features()
    x[5, 3] = np.nan
    with pytest.raises(ValueError, match="not all finite"):
        no_sums(12).update(x[:100]).update(x[100:]).moments()
