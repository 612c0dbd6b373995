"""Predictors: one step of the reverse process, from t to t - 1/n.

Each is a function (key, sde, score_fn, x, t, *, n) -> Update, where n is the number of steps that
the whole of [0, 1] is cut into. `identity`, which does nothing, is a predictor and a corrector.
"""

import jax
import jax.numpy as jnp

from scoresde_jax.sde import SDE, AncestralSDE, ode_drift, reverse_drift
from scoresde_jax.types import Array, ScoreFn, Update, bcast


def euler_maruyama(
    key: Array, sde: SDE, score_fn: ScoreFn, x: Array, t: Array, *, n: int
) -> Update:
    """Euler-Maruyama on the reverse SDE, x - (f - g^2 s) / n + g z / sqrt(n)."""
    x_mean = x - reverse_drift(sde, score_fn, x, t) / n
    return _add_noise(key, x_mean, sde.diffusion(t) / jnp.sqrt(n))


def euler(key: Array, sde: SDE, score_fn: ScoreFn, x: Array, t: Array, *, n: int) -> Update:
    """Euler on the probability-flow ODE, x - (f - g^2 s / 2) / n; no noise."""
    del key
    x = x - ode_drift(sde, score_fn, x, t) / n
    return Update(x, x, 1)


def reverse_diffusion(
    key: Array, sde: SDE, score_fn: ScoreFn, x: Array, t: Array, *, n: int
) -> Update:
    """The reverse of the n-step chain, x - f_i + G_i^2 s + G_i z (Song et al. 2021, eq. 46)."""
    f, G = sde.discretize(x, t, n)
    x_mean = x - f + bcast(G**2, x) * score_fn(x, t)
    return _add_noise(key, x_mean, G)


def probability_flow(
    key: Array, sde: SDE, score_fn: ScoreFn, x: Array, t: Array, *, n: int
) -> Update:
    """The chain without noise, x - f_i + G_i^2 s / 2 (Song et al. 2021, appendix D.3)."""
    del key
    f, G = sde.discretize(x, t, n)
    x = x - f + 0.5 * bcast(G**2, x) * score_fn(x, t)
    return Update(x, x, 1)


def ancestral(
    key: Array, sde: AncestralSDE, score_fn: ScoreFn, x: Array, t: Array, *, n: int
) -> Update:
    """Ancestral sampling of the n-step chain, for SDEs that have one: VE and VP."""
    x_mean, std = sde.ancestral(x, score_fn(x, t), t, n)
    return _add_noise(key, x_mean, std)


def identity(key: Array, sde: SDE, score_fn: ScoreFn, x: Array, t: Array) -> Update:
    """Leaves x where it is; costs nothing."""
    del key, sde, score_fn, t
    return Update(x, x, 0)


def _add_noise(key: Array, x_mean: Array, std: Array) -> Update:
    return Update(x_mean + bcast(std, x_mean) * jax.random.normal(key, x_mean.shape), x_mean, 1)
