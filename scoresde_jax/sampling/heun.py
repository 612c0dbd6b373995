"""Heun's method on the straightest form of the flow, with churn (Karras et al. 2022, Algorithm 2).

dy/ds = eps,   y = x / alpha,   s = sigma / alpha        their x and sigma, whatever the SDE
"""

import jax
import jax.numpy as jnp

from scoresde_jax.sampling.change import alpha_std, noise_prediction
from scoresde_jax.sampling.fixed import fixed_cost, shaken, still
from scoresde_jax.sde import SDE
from scoresde_jax.types import Array, Samples, ScoreFn


def heun(
    key: Array,
    sde: SDE,
    score_fn: ScoreFn,
    x: Array,
    times: Array,
    *,
    s_churn: float = 0.0,
    s_min: float = 0.0,
    s_max: float = float("inf"),
    s_noise: float = 1.0,
) -> Samples:
    """Takes each step by the trapezoidal rule, order 2, after raising the noise if there is churn.

    s' = s + min(s_churn / steps, sqrt(2) - 1) s, then Heun's method from s' to the next s. Each of
    the two keeps the marginals, so in law the order stays 2. s' is held to the largest s of the
    grid: beyond t = 1 there is no network.

    Args:
      s_churn: how much of the noise is replaced over the whole run; 0 for none.
      s_min, s_max: churn only where s is between them.
      s_noise: multiplies the std of the new noise.

    Returns:
      Samples with nfe = 2 a step.
    """
    alpha, std = alpha_std(sde, times)
    s = std / alpha
    steps = len(times) - 1
    gamma = min(s_churn / steps, 2**0.5 - 1)
    shake = shaken if gamma else still
    raised = jnp.where((s_min <= s) & (s <= s_max), jnp.minimum(s * (1 + gamma), s[0]), s)[:-1]
    noise = s_noise * jnp.sqrt((raised - s[:-1]) * (raised + s[:-1]))
    starts = jnp.where(raised > s[:-1], sde.time_of_half_log_snr(-jnp.log(raised)), times[:-1])
    stages = jnp.stack([starts, times[1:]], axis=1)  # (steps, 2), where each evaluates
    shares = jnp.asarray([1.0, 0.5], x.dtype)  # of its slope in the mean of the slopes so far

    def step(y: Array, row: tuple[Array, Array, Array, Array]) -> tuple[Array, None]:
        i, stages, noise, ds = row
        start = shake(key, i, y, noise)

        def stage(
            state: tuple[Array, Array], row: tuple[Array, Array]
        ) -> tuple[tuple[Array, Array], None]:
            (y, slope), (t, share) = state, row
            eps = noise_prediction(sde, score_fn, alpha_std(sde, t)[0] * y, t)
            slope = slope + share * (eps - slope)
            return (start + ds * slope, slope), None

        (y, _), _ = jax.lax.scan(stage, (start, jnp.zeros_like(y)), (stages, shares))
        return y, None

    rows = (jnp.arange(steps), stages, noise, s[1:] - raised)
    y, _ = jax.lax.scan(step, x / alpha[0], rows)
    return fixed_cost(alpha[-1] * y, 2 * steps)
