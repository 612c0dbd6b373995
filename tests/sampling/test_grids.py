"""Grids run from exactly 1 to exactly t_min, evenly in their variable."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gaussian import default_sde

from scoresde_jax.sampling import edm_grid, log_snr_grid, quadratic_grid, uniform_grid
from scoresde_jax.sampling.change import alpha_std
from scoresde_jax.sde import half_log_snr


def ratio(sde, t):
    alpha, std = alpha_std(sde, t)
    return std / alpha


# A new grid is tested by joining the list: its variable is even along it.
GRIDS = {
    "uniform": (uniform_grid, lambda sde, t: t),
    "quadratic": (quadratic_grid, lambda sde, t: jnp.sqrt(t)),
    "log_snr": (log_snr_grid, half_log_snr),
    "edm": (edm_grid, lambda sde, t: ratio(sde, t) ** (1 / 7)),
    "edm-3": (partial(edm_grid, rho=3.0), lambda sde, t: ratio(sde, t) ** (1 / 3)),
}
every_grid = pytest.mark.parametrize("grid, variable", GRIDS.values(), ids=GRIDS)


@default_sde
@every_grid
def test_the_variable_is_even_and_the_ends_are_exact(sde, grid, variable):
    with jax.enable_x64(True):
        times = grid(sde, 12, 1e-3)
        assert times.shape == (13,) and times[0] == 1.0 and times[-1] == 1e-3
        steps = np.diff(np.asarray(variable(sde, times)))
        np.testing.assert_allclose(steps, steps.mean(), rtol=1e-8)


@default_sde
@every_grid
def test_a_long_grid_falls_all_the_way_in_float32(sde, grid, variable):
    times = np.asarray(grid(sde, 1000, 1e-5))
    assert times.dtype == np.float32 and np.all(np.diff(times) < 0)
    assert times[0] == 1 and times[-1] == np.float32(1e-5)


@default_sde
@every_grid
def test_a_single_step_is_both_ends(sde, grid, variable):
    np.testing.assert_array_equal(grid(sde, 1, 0.1), np.float32([1.0, 0.1]))
