"""Bits per dimension of densities whose code length is plain."""

import math

import jax.numpy as jnp
import numpy as np
import pytest

from scoresde_jax.likelihood import bits_per_dim, mean_and_standard_error


@pytest.mark.parametrize("levels", [17, 256])
@pytest.mark.parametrize("width", [2.0, 1.0], ids=["centred", "uncentred"])
def test_uniform_density_takes_log2_levels(levels, width):
    dims = 48  # a density of width^-dims on [-1, 1] or [0, 1]
    logp = jnp.full(3, -dims * math.log(width))
    np.testing.assert_allclose(
        bits_per_dim(logp, dims, width / levels), math.log2(levels), rtol=1e-6
    )


def test_one_bit_less_per_dimension_for_twice_the_density():
    dims = 10
    low, high = bits_per_dim(jnp.asarray([0.0, dims * math.log(2)]), dims, 1 / 256)
    np.testing.assert_allclose(low - high, 1.0, rtol=1e-5)


def test_mean_and_standard_error():
    values = np.asarray([1.0, 2.0, 4.0, 9.0])
    mean, error = mean_and_standard_error(values)
    assert mean == 4.0
    # Sum of squares 9 + 4 + 0 + 25 = 38; variance 38 / 3, over 4.
    np.testing.assert_allclose(error, math.sqrt(38 / 3 / 4))


def test_one_value_has_no_standard_error():
    mean, error = mean_and_standard_error(np.asarray([3.0]))
    assert mean == 3.0 and math.isnan(error)


def test_a_nan_is_not_hidden():
    assert math.isnan(mean_and_standard_error(np.asarray([1.0, math.nan]))[0])
