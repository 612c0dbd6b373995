"""RePaint: inpainting that goes back and forth (Lugmayr et al. 2022, Algorithm 1).

    x <- down(x, D), its known pixels replaced by data with the noise of the new level
    now and then:  x <- (alpha_t / alpha_s) x + sqrt(sigma_t^2 - (alpha_t sigma_s / alpha_s)^2) z

The second line is the forward process over jump_length levels, after which the same levels are gone
down again. So the unknown pixels get to agree with the known: the steps down and up together leave
p_t alone, as a corrector does. The paper has the DDPM chain; `ladder.py` has its step for all SDEs.
"""

import jax
import jax.numpy as jnp
import numpy as np

from scoresde_jax.posterior.ladder import down, ladder
from scoresde_jax.posterior.operators.linear import (
    check_linear,
    check_noise_free,
    check_problem,
)
from scoresde_jax.posterior.operators.mask import Mask
from scoresde_jax.sampling.change import denoised
from scoresde_jax.sampling.fixed import fixed_cost
from scoresde_jax.sampling.grids import log_snr_grid
from scoresde_jax.sde import SDE
from scoresde_jax.types import Array, Samples, ScoreFn


def repaint_sample(
    key: Array,
    sde: SDE,
    score_fn: ScoreFn,
    operator: Mask,
    y: Array,
    shape: tuple[int, ...],
    *,
    noise_std: float,
    steps: int,
    t_min: float,
    jump_length: int = 10,
    resamplings: int = 10,
) -> Samples:
    """Draws images whose known pixels are y, exactly.

    Arguments as of `posterior`, with a mask and without noise, and

    Args:
      jump_length, resamplings: how many levels at a time, and how often, 1 for once. The paper has
        10 and 10, with 250 steps.

    Returns:
      Samples with nfe = steps + 1 and, for every stretch of levels that is gone down again,
      jump_length more each time.

    Raises:
      ValueError: a count is less than 1, or a jump is as long as all steps.
    """
    check_problem(operator, y, shape, noise_std, steps)
    if not isinstance(check_linear(operator, "repaint"), Mask):
        raise ValueError(
            f"repaint takes masks, and this is {type(operator).__name__}; for other operators take "
            "projection, ddrm, pigdm, dps or smc."
        )
    check_noise_free(noise_std, "repaint")
    if min(jump_length, resamplings) < 1:
        raise ValueError(
            f"jump_length and resamplings are 1 or more; they are {jump_length}, {resamplings}."
        )
    if resamplings > 1 and jump_length >= steps:
        raise ValueError(
            f"jump_length is {jump_length} and there are {steps} steps, so nothing would be gone "
            "down again; take less than steps, or 1 resampling."
        )
    levels = ladder(sde, log_snr_grid, steps, t_min)
    starts, ends = schedule(steps, jump_length, resamplings)
    known, mask = operator.adjoint(y), jnp.asarray(operator.known.mask)
    prior_key, loop_key = jax.random.split(key)

    def step(x: Array, row: tuple) -> tuple[Array, None]:
        i, t, (keep, weight, noise), alpha, std, back, std_back = row
        keys = jax.random.split(jax.random.fold_in(loop_key, i), 3)
        z = [jax.random.normal(key, x.shape, x.dtype) for key in keys]
        x = keep * x + weight * denoised(sde, score_fn, x, t) + noise * z[0]
        x = jnp.where(mask, alpha * known + std * z[1], x)
        return back * x + std_back * z[2], None

    alpha, std = levels.alpha, levels.std
    back = alpha[ends] / alpha[starts + 1]
    std_back = jnp.sqrt(jnp.maximum(std[ends] ** 2 - (back * std[starts + 1]) ** 2, 0.0))
    rows = (
        jnp.arange(len(starts)),
        levels.times[starts],
        jax.tree.map(lambda a: a[starts], down(levels)),
        alpha[starts + 1],
        std[starts + 1],
        back,
        std_back,
    )
    x, _ = jax.lax.scan(step, sde.prior_sample(prior_key, shape), rows)
    return fixed_cost(x, len(starts))


def schedule(steps: int, jump_length: int, resamplings: int) -> tuple[np.ndarray, np.ndarray]:
    """The steps down: the level at which each starts, and the one to which noise then leads back.

    Level 0 is t = 1, level `steps` is t_min, level steps + 1 the data; a step goes from one level
    to the next, and leads back to that where no noise is added. Jumps start at t_min and at every
    jump_length-th level before it, as long as there are more than jump_length levels above.
    """
    left = {steps - j: resamplings - 1 for j in range(0, steps - jump_length, jump_length)}
    starts, ends, level = [], [], 0
    while level <= steps:
        starts.append(level)
        level += 1
        if left.get(level, 0) > 0:
            left[level] -= 1
            level -= jump_length
        ends.append(level)
    return np.array(starts), np.array(ends)
