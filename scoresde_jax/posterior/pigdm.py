"""PiGDM: pseudoinverse guidance (Song et al. 2023).

    score(x, t) + grad_x log N(y; A D(x, t), r_t^2 A A^T + noise_std^2 I)

`likelihood.py` has the second term. The paper steps with DDIM and, in place of the weight that
this score has in a step, with one of its own; here it is a score like any other, so that every
sampler takes it and it tends to the law that it stands for as steps are added. That law is the
posterior for data N(m, prior_std^2 I), and an approximation for all others.
"""

from functools import partial

import jax.numpy as jnp

from scoresde_jax.posterior.ladder import Row
from scoresde_jax.posterior.likelihood import likelihood
from scoresde_jax.posterior.operators.linear import LinearOperator, check_linear, check_problem
from scoresde_jax.sampling.change import alpha_std, denoised
from scoresde_jax.sampling.fixed import Method, grid_sample, shaken
from scoresde_jax.sampling.grids import log_snr_grid
from scoresde_jax.sampling.multistep import sde_dpm_solver_1
from scoresde_jax.sde import SDE
from scoresde_jax.types import Array, Samples, ScoreFn, bcast


def pigdm_sample(
    key: Array,
    sde: SDE,
    score_fn: ScoreFn,
    operator: LinearOperator,
    y: Array,
    shape: tuple[int, ...],
    *,
    noise_std: float,
    steps: int,
    t_min: float,
    prior_std: float = 1.0,
    method: Method = sde_dpm_solver_1,
) -> Samples:
    """Draws restorations of y, any linear operator, with noise or without.

    Arguments as of `posterior`, and

    Args:
      prior_std: the standard deviation of the data about their mean, in their own scale; 1 in the
        paper, about 0.5 for images in [-1, 1].
      method: as for `grid_sample`; the default is DDIM with eta = 1.

    Returns:
      Samples with nfe = steps + 1 (one a step with the default), each with a gradient.
    """
    check_problem(operator, y, shape, noise_std, steps)
    check_linear(operator, "pigdm")
    score = partial(
        pigdm_score, sde, score_fn, operator, y, noise_std=noise_std, prior_std=prior_std
    )
    return grid_sample(
        key, sde, score, shape, method=method, grid=log_snr_grid, steps=steps, t_min=t_min
    )


def pigdm_step(
    key: Array,
    sde: SDE,
    score_fn: ScoreFn,
    operator: LinearOperator,
    y: Array,
    x: Array,
    row: Row,
    *,
    noise_std: float,
    prior_std: float = 1.0,
) -> Array:
    """One step of `pigdm_sample` with its default method, the last one to the data among them.

    The key is the same for all steps.
    """
    score = partial(
        pigdm_score, sde, score_fn, operator, y, noise_std=noise_std, prior_std=prior_std
    )
    keep, weight, noise = row.down
    return shaken(key, row.i, keep * x + weight * denoised(sde, score, x, row.t), noise)


def pigdm_score(
    sde: SDE,
    score_fn: ScoreFn,
    operator: LinearOperator,
    y: Array,
    x: Array,
    t: Array,
    *,
    noise_std: float,
    prior_std: float = 1.0,
) -> Array:
    """The score of x_t given y, shape of x; with all but x and t bound, a score_fn."""
    found = likelihood(sde, score_fn, operator, y, x, t, noise_std=noise_std, prior_std=prior_std)
    alpha, std = alpha_std(sde, jnp.asarray(t))
    return (bcast(alpha, x) * found.x0 - x) / bcast(std**2, x) + found.gradient
