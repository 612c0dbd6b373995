"""Where a sampler of few steps puts them: times from 1 down to t_min.

Each is a function (sde, steps, t_min) -> times (steps + 1,), evenly spaced in a variable of its
own. Both ends are exact.
"""

from collections.abc import Callable

import jax.numpy as jnp

from scoresde_jax.sampling.change import alpha_std
from scoresde_jax.sde import SDE, half_log_snr
from scoresde_jax.types import Array

Grid = Callable[[SDE, int, float], Array]  # (sde, steps, t_min) -> times, options bound


def uniform_grid(sde: SDE, steps: int, t_min: float) -> Array:
    """Even in t."""
    del sde
    return _with_ends(jnp.linspace(1.0, t_min, steps + 1), t_min)


def quadratic_grid(sde: SDE, steps: int, t_min: float) -> Array:
    """Even in sqrt(t), so that steps shrink towards the data."""
    del sde
    return _with_ends(jnp.linspace(1.0, t_min**0.5, steps + 1) ** 2, t_min)


def log_snr_grid(sde: SDE, steps: int, t_min: float) -> Array:
    """Even in lambda = log(alpha / sigma), the variable in which DPM-Solver steps."""
    start, end = half_log_snr(sde, jnp.asarray([1.0, t_min]))
    times = sde.time_of_half_log_snr(jnp.linspace(start, end, steps + 1))
    return _with_ends(times, t_min)


def edm_grid(sde: SDE, steps: int, t_min: float, *, rho: float = 7.0) -> Array:
    """Even in s^(1 / rho), where s = sigma / alpha is the sigma of Karras et al. 2022, eq. 5.

    Theirs has a step to s = 0 at the end; here the end is t_min.
    """
    alpha, std = alpha_std(sde, jnp.asarray([1.0, t_min]))
    start, end = (std / alpha) ** (1 / rho)
    s = jnp.linspace(start, end, steps + 1) ** rho
    return _with_ends(sde.time_of_half_log_snr(-jnp.log(s)), t_min)


def _with_ends(times: Array, t_min: float) -> Array:
    return times.at[0].set(1.0).at[-1].set(t_min)
