"""A lower bound on the log-density of the reverse SDE, which the flow ODE does not share.

    -log p(x0) <= KL(q(x_1 | x0) || prior) + integral + decoder,      x_t = mean(x0, t) + std(t) z
    integral = 1/2 int_{t_min}^1 g^2 E|s(x_t, t) - grad log q(x_t | x0)|^2 dt
             = 1/2 int_{t_min}^1 (g^2 / std^2) E|std s + z|^2 dt
    decoder  = E[-log N(x0; (x_t + std^2 s) / alpha, (std / alpha)^2)] at t_min
             = 1/2 E|std s + z|^2 + dims log(sqrt(2 pi) std / alpha)

(Song et al. 2021b, theorem 3; prior and decoder as in Kingma et al. 2021.) p is the density of what
the reverse SDE makes of the prior from 1 to t_min, followed by one draw of the decoder, whose mean
is Tweedie's. The choices are functions: `times` draws the t of the integral, `form` estimates
E|std s + z|^2.

Not here: the density of the flow ODE (`flow.py`), training on this bound (`losses.py`),
  dequantization (`dequantization.py`).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from scoresde_jax.likelihood.flow import value_and_divergence
from scoresde_jax.likelihood.probes import rademacher
from scoresde_jax.sde import SDE, half_log_snr
from scoresde_jax.types import Array, ScoreFn, bcast

# (key, sde, draws, t_min) -> t (draws,) and weight (draws,), the mean of weight * h(t) being an
# estimate of the integral of g^2 / std^2 h from t_min to 1
Times = Callable[[Array, SDE, int, float], tuple[Array, Array]]
Field = Callable[[Array], Array]  # x (B, ...) -> std s (B, ...), at the time of each example
PyTree = Any
# (keys (B,), field, x_t (B, ...), std (B,), z (B, ...)) -> std s (B, ...), estimates (B,)
Form = Callable[[Array, Field, Array, Array, Array], tuple[Array, Array]]

Loop = Callable[[Callable, PyTree], PyTree]  # (f, xs) -> f of each of xs, along the first axis


class Bound(NamedTuple):
    """What `likelihood_bound` returns, per example."""

    logp: Array  # (B,) nats, an unbiased estimate of a lower bound on log p
    logp_se: Array  # (B,) nats, its standard error over draws; NaN for a single draw
    nfe: Array  # (B,) int32 score evaluations; with their divergence, for `sliced`


def stratified_importance(key: Array, sde: SDE, draws: int, t_min: float) -> tuple[Array, Array]:
    """Times of density g^2 / std^2, evenly spread: one uniform shift of a grid, modulo 1."""
    return _importance((jax.random.uniform(key) + jnp.arange(draws) / draws) % 1.0, sde, t_min)


def antithetic_importance(key: Array, sde: SDE, draws: int, t_min: float) -> tuple[Array, Array]:
    """Times of density g^2 / std^2, in pairs from u and 1 - u; an odd one is on its own."""
    u = jax.random.uniform(key, ((draws + 1) // 2,))
    return _importance(jnp.concatenate([u, 1 - u])[:draws], sde, t_min)


def independent_importance(key: Array, sde: SDE, draws: int, t_min: float) -> tuple[Array, Array]:
    """Independent times of density g^2 / std^2 (Song et al. 2021b, section 5.1)."""
    return _importance(jax.random.uniform(key, (draws,)), sde, t_min)


def independent_uniform(key: Array, sde: SDE, draws: int, t_min: float) -> tuple[Array, Array]:
    """Independent times, uniform on [t_min, 1]; the weight, g^2 / std^2, is then unbounded."""
    t = jax.random.uniform(key, (draws,), minval=t_min, maxval=1.0)
    std = sde.marginal(jnp.zeros_like(t), t)[1]
    return t, (1 - t_min) * (sde.diffusion(t) / std) ** 2


def _importance(u: Array, sde: SDE, t_min: float) -> tuple[Array, Array]:
    """The weight is the normaliser of the density, whatever t."""
    return sde.likelihood_time(u, t_min), jnp.full_like(u, sde.likelihood_integral(t_min))


def at_once(f: Callable, xs: PyTree) -> PyTree:
    """f of each of xs, all in one batch."""
    return jax.vmap(f)(xs)


def denoising(keys: Array, field: Field, x: Array, std: Array, z: Array) -> tuple[Array, Array]:
    """|std s + z|^2 as it stands: no noise where the score knows z, much at the smallest times."""
    del keys, std
    value = field(x)
    return value, _sum((value + z) ** 2)


def sliced(keys: Array, field: Field, x: Array, std: Array, z: Array) -> tuple[Array, Array]:
    """|std s|^2 + 2 std^2 div s + dims, as E[z . s] = std E[div s], with one Rademacher probe.

    It has the mean of `denoising` (Song et al. 2021b, theorem 3), and little noise at small times.
    """
    del z
    probe = jax.vmap(lambda key: rademacher(key, x.shape[1:]))(keys)
    value, divergence = value_and_divergence(field, x, probe[None])
    return value, _sum(value**2) + 2 * std * divergence[:, 0] + x[0].size


def likelihood_bound(
    keys: Array,
    sde: SDE,
    score_fn: ScoreFn,
    x: Array,
    *,
    t_min: float,
    draws: int,
    times: Times = stratified_importance,
    form: Form = denoising,
    loop: Loop = jax.lax.map,
) -> Bound:
    """A lower bound on the log-density that the reverse SDE gives to each x, with its error.

    The decoder has one draw, of E|std s + z|^2 = E[|std s|^2 + 2 std s . z] + dims, whose deviation
    is about |std s| nats at t_min; `denoising` there would have sqrt(dims / 2).

    Args:
      keys: (B,) typed keys, one per example: the answer for an example depends on its own key only.
      x: (B, ...) data at time 0. (`log_likelihood` takes its x to be at t_min.)
      draws: of (t, z) per example, for the integral.
      loop: evaluates the draws: `jax.lax.map`, one batch of x at a time, or `at_once`, which
        gradients want: on CPUs those of convolutions are slow in loops (jax issue 12868).

    Returns:
      Bound with nfe = draws + 1. The error takes draws to be independent, so it is too large where
      their times are spread evenly, and has |std s| for the decoder.
    """
    dims = x[0].size
    split = jax.vmap(lambda key: jax.random.split(key, 3), out_axes=1)
    time_keys, z_keys, form_keys = split(keys)
    t, weight = jax.vmap(lambda key: times(key, sde, draws, t_min), out_axes=1)(time_keys)

    def evaluate(draw: tuple[Array, Array]) -> tuple[Array, Array, Array]:
        i, t = draw
        fold = jax.vmap(lambda key: jax.random.fold_in(key, i))
        z = jax.vmap(lambda key: jax.random.normal(key, x.shape[1:]))(fold(z_keys))
        mean, std = sde.marginal(x, t)
        noised = mean + bcast(std, x) * z
        value, square = form(
            fold(form_keys), lambda x: bcast(std, x) * score_fn(x, t), noised, std, z
        )
        return square, _sum(value**2), _sum(value * z)

    # The first row is the decoder's.
    t = jnp.concatenate([jnp.full_like(t[:1], t_min), t])
    squares, norms, products = loop(evaluate, (jnp.arange(draws + 1), t))
    terms = 0.5 * weight * squares[1:]
    decoder = 0.5 * (norms[0] + dims) + products[0] + dims * _log_decoder_scale(sde, t[0])
    logp = -(_prior_divergence(sde, x) + jnp.mean(terms, axis=0) + decoder)
    # One draw has no spread; NaN says so.
    variance = jnp.var(terms, axis=0, ddof=1) / draws if draws > 1 else terms[0] * jnp.nan
    nfe = jnp.full(logp.shape, draws + 1, jnp.int32)
    return Bound(logp, jnp.sqrt(variance + norms[0]), nfe)


def _prior_divergence(sde: SDE, x: Array) -> Array:
    """KL(q(x_1 | x0) || prior), (B,) nats, for a prior N(0, s^2 I).

    dims (r - 1 - log r) / 2 + |mean|^2 / (2 s^2),  r = std^2 / s^2
    """
    mean, std = sde.marginal(x, jnp.ones(x.shape[:1]))
    # s from the density of one number at 0; it is the same for any count of them.
    log_scale = -sde.prior_logp(jnp.zeros((1, 1))) - 0.5 * jnp.log(2 * jnp.pi)
    log_ratio = 2 * (jnp.log(std) - log_scale)
    excess = jnp.expm1(log_ratio) - log_ratio
    return 0.5 * (x[0].size * excess + _sum(mean**2) * jnp.exp(-2 * log_scale))


def _log_decoder_scale(sde: SDE, t: Array) -> Array:
    """log(sqrt(2 pi) std / alpha), shape of t."""
    return 0.5 * jnp.log(2 * jnp.pi) - half_log_snr(sde, t)


def _sum(x: Array) -> Array:
    """Sum over an example's dimensions, (B,)."""
    return jnp.sum(x.reshape(x.shape[0], -1), axis=-1)
