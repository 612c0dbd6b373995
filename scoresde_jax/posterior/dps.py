"""DPS: diffusion posterior sampling (Chung et al. 2023, Algorithm 1, Gaussian noise).

    x <- down(x, D) - zeta c_s c_t grad_x |y - A D(x, t)|,   c_t = sqrt(alpha_t^2 + sigma_t^2)

`down` is the step of `ladder.py`. The paper has VP, where c = 1; the factors are what its step
becomes in other variables of the same process, so that every SDE gives what VP does. Its zeta' is
zeta / 2: it writes the gradient of |.|^2 over |.|, and the authors' code this.

The step is a heuristic and not the score of a posterior: it knows no noise_std, and more steps pull
harder. zeta = 1 goes with about 1,000 steps. Nothing about it is exact.
"""

import jax
import jax.numpy as jnp

from scoresde_jax.posterior.ladder import Row, rows
from scoresde_jax.posterior.operators.linear import Operator, check_problem, forward_of
from scoresde_jax.sampling.change import denoised
from scoresde_jax.sampling.fixed import fixed_cost, shaken
from scoresde_jax.sampling.grids import Grid, log_snr_grid
from scoresde_jax.sde import SDE
from scoresde_jax.types import Array, Samples, ScoreFn


def dps_sample(
    key: Array,
    sde: SDE,
    score_fn: ScoreFn,
    operator: Operator,
    y: Array,
    shape: tuple[int, ...],
    *,
    noise_std: float,
    steps: int,
    t_min: float,
    zeta: float = 1.0,
    grid: Grid = log_snr_grid,
) -> Samples:
    """Draws restorations of y, any operator, linear or a differentiable function.

    Arguments as of `posterior`, and

    Args:
      noise_std: checked, and not used.
      zeta: how far a step goes along the gradient of |y - A D|.
      grid: the times of the steps.

    Returns:
      Samples with nfe = steps + 1, each with a gradient.
    """
    check_problem(operator, y, shape, noise_std, steps)
    prior_key, loop_key = jax.random.split(key)

    def step(x: Array, row: Row) -> tuple[Array, None]:
        return dps_step(loop_key, sde, score_fn, operator, y, x, row, zeta=zeta), None

    x = sde.prior_sample(prior_key, shape)
    x, _ = jax.lax.scan(step, x, rows(sde, grid, steps, t_min))
    return fixed_cost(x, steps + 1)


def dps_step(
    key: Array,
    sde: SDE,
    score_fn: ScoreFn,
    operator: Operator,
    y: Array,
    x: Array,
    row: Row,
    *,
    zeta: float,
) -> Array:
    """One step of `dps_sample`, whose key is the same for all: x at the next level."""

    def misfit(x: Array) -> tuple[Array, Array]:
        x0 = denoised(sde, score_fn, x, row.t)
        residual = y - forward_of(operator)(x0)
        return jnp.sum(residual.reshape(x.shape[0], -1) ** 2, axis=-1), x0

    square, pull_back, x0 = jax.vjp(misfit, x, has_aux=True)
    # grad |r| = grad |r|^2 / 2 |r|, and 0 where r = 0.
    slope = jnp.where(square > 0, 0.5 / jnp.sqrt(jnp.where(square > 0, square, 1.0)), 0.0)
    gradient = pull_back(slope)[0]
    keep, weight, noise = row.down
    return shaken(key, row.i, keep * x + weight * x0, noise) - zeta * row.scale * gradient
