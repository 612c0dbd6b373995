"""The steps of a solver: noise levels from t = 1 to t_min, then the data, which have none.

    x_s | x_t, x_0  ~  N(keep x_t + weight x_0, noise^2 I)         down one step, s < t
    keep = e^-h sigma_s / sigma_t,  weight = alpha_s (1 - e^-2h),  noise = sigma_s sqrt(1 - e^-2h)
    e^-h = (sigma_s / alpha_s) / (sigma_t / alpha_t)

where x_t | x_0 ~ N(alpha_t x_0, sigma_t^2 I). This is the SDE's own posterior, Bayes' rule for its
step from s to t: for VP that of the DDPM chain (Ho et al. 2020, eq. 6), for VE that of SMLD. With
the network's x0-prediction in place of x_0 it is the step that the papers' solvers, written for one
of the two chains, start from. The last step, to sigma = 0, takes the prediction itself.
"""

from typing import NamedTuple

import jax.numpy as jnp

from scoresde_jax.sampling.change import alpha_std
from scoresde_jax.sampling.grids import Grid
from scoresde_jax.sde import SDE
from scoresde_jax.types import Array


class Ladder(NamedTuple):
    """The levels of a solver that takes `steps` steps and one to the data."""

    times: Array  # (steps + 1,) from 1 to t_min
    alpha: Array  # (steps + 2,) at these times, then 1
    std: Array  # (steps + 2,) then 0


class Down(NamedTuple):
    """The numbers of the step down from each level."""

    keep: Array  # (steps + 1,) multiplies x
    weight: Array  # (steps + 1,) multiplies the x0-prediction
    noise: Array  # (steps + 1,) std


class Row(NamedTuple):
    """What one step knows; stacked, (steps + 1,) each, what all do."""

    i: Array  # which step
    t: Array  # where it starts
    down: Down
    scale: Array  # c_s c_t of both ends, c = sqrt(alpha^2 + std^2)


def ladder(sde: SDE, grid: Grid, steps: int, t_min: float) -> Ladder:
    """The levels on a grid."""
    times = grid(sde, steps, t_min)
    alpha, std = alpha_std(sde, times)
    return Ladder(times, jnp.append(alpha, 1.0), jnp.append(std, 0.0))


def down(levels: Ladder) -> Down:
    """The step down from each level to the next."""
    alpha, std = levels.alpha, levels.std
    shrink = (std[1:] * alpha[:-1]) / (std[:-1] * alpha[1:])  # e^-h
    fresh = (1 - shrink) * (1 + shrink)
    return Down(shrink * std[1:] / std[:-1], alpha[1:] * fresh, std[1:] * jnp.sqrt(fresh))


def rows(sde: SDE, grid: Grid, steps: int, t_min: float) -> Row:
    """All steps on a grid, for a loop over them."""
    levels = ladder(sde, grid, steps, t_min)
    scale = jnp.hypot(levels.alpha, levels.std)
    return Row(jnp.arange(steps + 1), levels.times, down(levels), scale[1:] * scale[:-1])
