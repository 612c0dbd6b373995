"""DPM-Solver++(2S): a second-order method that needs nothing but x (Lu et al. 2022b).

    u = x(m) from D(x_s, s),   x_t from D(u, m),   lambda_m halfway between lambda_s and lambda_t

where "x(t) from D" is x_t = (sigma_t / sigma_s) x_s + alpha_t (1 - e^-h) D. Two evaluations a step.
"""

import jax
import jax.numpy as jnp

from scoresde_jax.sampling.change import alpha_std, denoised
from scoresde_jax.sampling.fixed import fixed_cost
from scoresde_jax.sde import SDE, half_log_snr
from scoresde_jax.types import Array, Samples, ScoreFn


def dpm_solver_2s(key: Array, sde: SDE, score_fn: ScoreFn, x: Array, times: Array) -> Samples:
    """DPM-Solver++(2S) with its midpoint halfway: order 2. nfe = 2 a step."""
    del key
    at = half_log_snr(sde, times)
    middles = sde.time_of_half_log_snr((at[:-1] + at[1:]) / 2)
    starts = jnp.stack([times[:-1], middles], axis=1)  # (steps, 2), where each stage evaluates
    ends = jnp.stack([middles, times[1:]], axis=1)  # where it takes the step's x to
    alpha, std = alpha_std(sde, ends)
    keep = std / alpha_std(sde, times[:-1, None])[1]
    weight = alpha * -jnp.expm1(at[:-1, None] - half_log_snr(sde, ends))

    def step(x: Array, row: tuple[Array, Array, Array]) -> tuple[Array, None]:
        def stage(u: Array, row: tuple[Array, Array, Array]) -> tuple[Array, None]:
            t, keep, weight = row
            return keep * x + weight * denoised(sde, score_fn, u, t), None

        return jax.lax.scan(stage, x, row)[0], None

    x, _ = jax.lax.scan(step, x, (starts, keep, weight))
    return fixed_cost(x, 2 * middles.size)
