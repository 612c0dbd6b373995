"""The kernel distance is right on average, for any number of images, and so is its error."""

import math

import numpy as np
import pytest

from scoresde_jax.evaluation.kernel import kernel_distance, mmd2


def normal(seed, count, dims, mean=0.0):
    return mean + np.random.default_rng(seed).normal(size=(count, dims))


def test_is_the_sum_over_pairs():
    x, y = normal(0, 6, 3), normal(1, 5, 3, mean=0.5)

    def k(a, b):
        return (np.dot(a, b) / 3 + 1) ** 3

    within = [
        sum(k(s[i], s[j]) for i in range(len(s)) for j in range(len(s)) if i != j)
        / (len(s) * (len(s) - 1))
        for s in (x, y)
    ]
    across = sum(k(a, b) for a in x for b in y) / 30
    np.testing.assert_allclose(mmd2(x, y), sum(within) - 2 * across, rtol=1e-10)


@pytest.mark.parametrize("count", [4, 30])
def test_is_zero_on_average_for_equal_distributions(count):
    """Keeping the pairs of an image with itself would put the mean 10 standard errors off."""
    found = [mmd2(normal((0, i), count, 4), normal((1, i), count, 4)) for i in range(2000)]
    error = np.std(found) / math.sqrt(len(found))
    assert abs(np.mean(found)) < 4 * error
    assert min(found) < 0


def test_mean_is_that_of_known_moments():
    """In one dimension MMD^2 = sum_j binom(3, j) (E x^j - E y^j)^2, for N(0, 1) and N(1, 1) 22."""
    found = [mmd2(normal((0, i), 50, 1), normal((1, i), 40, 1, mean=1)) for i in range(3000)]
    wanted = 3 * 1**2 + 3 * (2 - 1) ** 2 + 1 * 4**2
    assert abs(np.mean(found) - wanted) < 4 * np.std(found) / math.sqrt(len(found))


def test_standard_error_is_the_spread_of_repetitions():
    found = [
        kernel_distance(normal((0, i), 400, 4), normal((1, i), 300, 4, mean=0.3), seed=i)
        for i in range(200)
    ]
    spread = np.std([distance.mean for distance in found])
    claimed = np.mean([distance.standard_error for distance in found])
    # 200 repetitions know their own spread to 5 %; ten subsets' error is low by 3 % on average.
    np.testing.assert_allclose(claimed, spread, rtol=0.15)


def test_subsets_share_no_image():
    found = kernel_distance(normal(0, 2100, 2), normal(1, 2050, 2), seed=0, size=100)
    assert (found.subsets, found.size) == (20, 100)
    found = kernel_distance(normal(0, 297, 2), normal(1, 1500, 2), seed=0)
    assert (found.subsets, found.size) == (10, 29)


def test_order_of_the_images_does_not_matter():
    """Sorted images, as a folder of classes holds them, would make every subset one class."""
    x, y = np.sort(normal(0, 500, 1), axis=0), np.sort(normal(1, 500, 1), axis=0)
    ordered = kernel_distance(x, y[::-1], seed=0)
    assert abs(ordered.mean) < 5 * ordered.standard_error < 2


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match="got 2 and 3 of them"):
        kernel_distance(normal(0, 50, 2), normal(1, 50, 3), seed=0)
    with pytest.raises(ValueError, match="four images; got 3"):
        kernel_distance(normal(0, 3, 2), normal(1, 50, 2), seed=0)
