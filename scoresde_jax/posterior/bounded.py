"""A score whose prediction of x_0 stays within the range of the data.

    D = (x + sigma^2 s) / alpha,   s <- (alpha clip(D, low, high) - x) / sigma^2

D is the mean of x_0 given x_t, which lies in that range if the data do: the exact score is left as
it is. A network's is not, whose error is divided by alpha near t = 1: this keeps solvers that
differentiate D from running away.
"""

import jax.numpy as jnp

from scoresde_jax.sampling.change import alpha_std, denoised
from scoresde_jax.sde import SDE
from scoresde_jax.types import Array, ScoreFn, bcast


def bounded_score(
    sde: SDE, score_fn: ScoreFn, x: Array, t: Array, *, low: float, high: float
) -> Array:
    """The score at x (B, ...) and t, () or (B,); with all but x and t bound, a score_fn."""
    t = jnp.broadcast_to(t, x.shape[:1])
    alpha, std = alpha_std(sde, t)
    x0 = jnp.clip(denoised(sde, score_fn, x, t), low, high)
    return (bcast(alpha, x) * x0 - x) / bcast(std**2, x)
