"""p(y | x_t) as if x_0 given x_t were Gaussian about the network's prediction, and its gradient.

    p(x_0 | x_t) ~ N(D, r^2 I),   r^2 = c^2 s^2 / (c^2 + s^2),   s = sigma_t / alpha_t
    p(y | x_t)   ~ N(A D, r^2 A A^T + noise_std^2 I)
    grad log p   = (dD/dx)^T A^T (r^2 A A^T + noise_std^2 I)^-1 (y - A D)

(Song et al. 2023, who have c = 1). c is the standard deviation of the data: r^2 is the
variance that x_0 has given x_t for data N(m, c^2 I), for which all of this is exact. For a function
in place of A the variance of y is taken as r^2 + noise_std^2.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from scoresde_jax.posterior.operators.inverse import solve
from scoresde_jax.posterior.operators.linear import LinearOperator, Operator, forward_of
from scoresde_jax.sampling.change import alpha_std, denoised
from scoresde_jax.sde import SDE
from scoresde_jax.types import Array, ScoreFn, bcast


class Likelihood(NamedTuple):
    """At one x_t."""

    x0: Array  # (B, ...) the prediction D
    logp: Array  # (B,) log p(y | x_t) in nats, less a number that depends on t and y, not on x
    gradient: Array  # (B, ...) with respect to x_t


def likelihood(
    sde: SDE,
    score_fn: ScoreFn,
    operator: Operator,
    y: Array,
    x: Array,
    t: Array,
    *,
    noise_std: float,
    prior_std: float,
) -> Likelihood:
    """One evaluation of the network, and its gradient; t is () or (B,)."""
    t = jnp.broadcast_to(t, x.shape[:1])

    def measured(x: Array) -> tuple[Array, Array]:
        x0 = denoised(sde, score_fn, x, t)
        return forward_of(operator)(x0), x0

    seen, pull_back, x0 = jax.vjp(measured, x, has_aux=True)
    residual = y - seen
    alpha, std = alpha_std(sde, t)
    # As c^2 s^2 / (c^2 + s^2), but without 1 / alpha, which is large at t = 1.
    spread = (prior_std * std) ** 2 / ((prior_std * alpha) ** 2 + std**2)
    noise = jnp.full_like(spread, noise_std**2)
    if isinstance(operator, LinearOperator):
        pull = solve(operator, residual, spread, noise)
    else:
        pull = residual / bcast(spread + noise, residual)
    square = jnp.sum((residual * pull).reshape(x.shape[0], -1), axis=-1)
    return Likelihood(x0, -0.5 * square, pull_back(pull)[0])
