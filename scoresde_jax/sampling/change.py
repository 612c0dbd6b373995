"""The change of variables that all fast samplers stand on, written once.

    x_t given x_0 has mean alpha x_0 and standard deviation sigma          any SDE of `sde.py`
    y = x / alpha,   s = sigma / alpha                                     dy/ds = eps(x, t)
    v = x / sigma,   u = alpha / sigma = e^lambda                          dv/du = D(x, t)

are the probability flow (Song et al. 2021, eq. 13) in two pairs of variables, rid of its linear
part. D = (x + sigma^2 score) / alpha predicts x_0, and eps = -sigma score the noise. A method that
knows an SDE through alpha, sigma and lambda only works for all of them. lambda is
`sde.half_log_snr`, and its inverse `SDE.time_of_half_log_snr`.
"""

import jax.numpy as jnp

from scoresde_jax.sde import SDE
from scoresde_jax.types import Array, ScoreFn, bcast


def alpha_std(sde: SDE, t: Array) -> tuple[Array, Array]:
    """alpha and sigma of x_t = alpha x_0 + sigma z, each of the shape of t."""
    return sde.marginal(jnp.ones_like(t), t)


def denoised(sde: SDE, score_fn: ScoreFn, x: Array, t: Array) -> Array:
    """The x_0 that is expected at x (B, ...), D = (x + sigma^2 score) / alpha: Tweedie's formula.

    t is () or (B,).
    """
    alpha, std = alpha_std(sde, t)
    score = score_fn(x, jnp.broadcast_to(t, x.shape[:1]))
    return (x + bcast(std**2, x) * score) / bcast(alpha, x)


def noise_prediction(sde: SDE, score_fn: ScoreFn, x: Array, t: Array) -> Array:
    """The z that is expected at x (B, ...), eps = -sigma score; t is () or (B,)."""
    _, std = alpha_std(sde, t)
    return -bcast(std, x) * score_fn(x, jnp.broadcast_to(t, x.shape[:1]))
