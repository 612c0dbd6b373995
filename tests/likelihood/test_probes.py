"""Probes have mean zero and unit covariance."""

import jax
import numpy as np
import pytest

from scoresde_jax.likelihood import gaussian, rademacher


@pytest.mark.parametrize("probe", [rademacher, gaussian])
def test_probe_is_white(probe):
    v = np.asarray(probe(jax.random.key(0), (20_000, 3)), np.float64)
    # Entries of variance 1, squares of variance 2 at most: 5 standard errors.
    assert np.all(np.abs(v.mean(axis=0)) < 5 / np.sqrt(20_000))
    assert np.all(np.abs(v.T @ v / 20_000 - np.eye(3)) < 5 * np.sqrt(2 / 20_000))


def test_rademacher_probes_are_signs():
    v = rademacher(jax.random.key(0), (4, 8, 8, 1))
    assert v.dtype == np.float32
    np.testing.assert_array_equal(np.abs(v), 1)
