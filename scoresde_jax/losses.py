"""Denoising score matching: how far a score is from the truth, one number per example.

    x_t = mean(x_0, t) + std(t) z,   z ~ N(0, I)
    loss = lambda(t) reduce( |s(x_t, t) + z / std(t)|^2 )                `dsm_loss`, t ~ U[t_min, 1]
    the same on the n noise levels of a chain                             `smld_loss`, `ddpm_loss`
    -log p(y | x_t, t), of a classifier that is to guide                  `classification_loss`

(Song et al. 2021, eq. 7; Vincent 2011; SMLD and DDPM: eqs. 1 and 3 there.) The choices are
functions: `times` draws t, `weighting` is lambda, `reduction` sums the dimensions of an example.

Not here: means over a batch and gradients (`training/step.py`).
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from scoresde_jax.sde import SDE, VESDE, VPSDE, chain_time
from scoresde_jax.types import Array, ScoreFn, bcast

Weighting = Callable[[SDE, Array], Array]  # (sde, t (B,)) -> lambda(t) (B,)
Times = Callable[[Array, SDE, int, float], Array]  # (key, sde, B, t_min) -> t (B,)
Reduction = Callable[[Array], Array]  # (B, ...) -> (B,)


def mean_over_dims(square: Array) -> Array:
    """Mean over an example's dimensions: `reduce_mean=True` of the 2021 code."""
    return jnp.mean(square.reshape(square.shape[0], -1), axis=-1)


def half_sum_over_dims(square: Array) -> Array:
    """Half the sum over an example's dimensions: `reduce_mean=False` of the 2021 code."""
    return 0.5 * jnp.sum(square.reshape(square.shape[0], -1), axis=-1)


def variance_weighting(sde: SDE, t: Array) -> Array:
    """lambda = std^2: every noise level counts alike (Song et al. 2021, section 3.3)."""
    return sde.marginal(jnp.zeros(t.shape), t)[1] ** 2


def likelihood_weighting(sde: SDE, t: Array) -> Array:
    """lambda = g^2: the loss bounds the negative log-likelihood (Song et al. 2021b, theorem 1)."""
    return sde.diffusion(t) ** 2


def uniform_times(key: Array, sde: SDE, batch: int, t_min: float) -> Array:
    """Independent and uniform on [t_min, 1], as in the 2021 code."""
    del sde
    return jax.random.uniform(key, (batch,), minval=t_min, maxval=1.0)


def stratified_times(key: Array, sde: SDE, batch: int, t_min: float) -> Array:
    """Uniform on [t_min, 1] and evenly spread over the batch, which lowers the loss's variance."""
    del sde
    return t_min + (1 - t_min) * _stratified(key, batch)


def likelihood_times(key: Array, sde: SDE, batch: int, t_min: float) -> Array:
    """Spread evenly over [t_min, 1] by the density g^2 / std^2.

    With `variance_weighting` the mean loss is then the likelihood-weighted one over the integral of
    g^2 / std^2: maximum-likelihood training without its variance (Song et al. 2021b, section 5.1).
    """
    return sde.likelihood_time(_stratified(key, batch), t_min)


def _stratified(key: Array, batch: int) -> Array:
    """One shared uniform shift of an even grid, modulo 1 (Kingma et al. 2021, appendix I.1)."""
    return (jax.random.uniform(key) + jnp.arange(batch) / batch) % 1.0


def dsm_loss(
    key: Array,
    sde: SDE,
    score_fn: ScoreFn,
    x0: Array,
    *,
    t_min: float,
    times: Times = uniform_times,
    weighting: Weighting = variance_weighting,
    reduction: Reduction = mean_over_dims,
) -> Array:
    """Continuous denoising score matching at one time per example.

    lambda(t) reduce( |s(x_t, t) + z / std|^2 ) = lambda / std^2 reduce( |std s + z|^2 )

    Args:
      x0: (B, ...) data.
      t_min: smallest time drawn; 1e-5 in the 2021 code.

    Returns:
      (B,) losses, in the units of the reduction.
    """
    t_key, z_key = jax.random.split(key)
    t = times(t_key, sde, x0.shape[0], t_min)
    z = jax.random.normal(z_key, x0.shape)
    mean, std = sde.marginal(x0, t)
    residual = bcast(std, x0) * score_fn(mean + bcast(std, x0) * z, t) + z
    return weighting(sde, t) / std**2 * reduction(residual**2)


def classification_loss(
    key: Array,
    sde: SDE,
    log_probs: Callable[[Array, Array], Array],
    x0: Array,
    labels: Array,
    *,
    t_min: float,
    times: Times = uniform_times,
) -> Array:
    """Cross-entropy of a classifier at one time per example: -log p(y | x_t, t).

    (Song et al. 2021, App. I.1.) Least for the classifier of x_t itself, at every t.

    Args:
      log_probs: (x (B, ...), t (B,)) -> (B, classes), log-probabilities.
      x0: (B, ...) data.
      labels: (B,) int32, their classes.

    Returns:
      (B,) nats.
    """
    t_key, z_key = jax.random.split(key)
    t = times(t_key, sde, x0.shape[0], t_min)
    mean, std = sde.marginal(x0, t)
    x = mean + bcast(std, x0) * jax.random.normal(z_key, x0.shape)
    return -jnp.take_along_axis(log_probs(x, t), labels[:, None], axis=-1)[:, 0]


def smld_loss(
    key: Array,
    sde: VESDE,
    score_fn: ScoreFn,
    x0: Array,
    *,
    n: int,
    reduction: Reduction = mean_over_dims,
) -> Array:
    """Denoising score matching on the n geometric noise levels of SMLD, sigma^2-weighted.

    sigma_i^2 reduce( |s(x_0 + sigma_i z, t_i) + z / sigma_i|^2 ),  i uniform
    (Song & Ermon 2019, eq. 6, with lambda = sigma^2)

    Returns:
      (B,) losses.
    """
    i_key, z_key = jax.random.split(key)
    t = chain_time(jax.random.randint(i_key, x0.shape[:1], 0, n), n)
    z = jax.random.normal(z_key, x0.shape)
    sigma = bcast(sde.sigma(t), x0)
    return reduction((sigma * score_fn(x0 + sigma * z, t) + z) ** 2)


def ddpm_loss(
    key: Array,
    sde: VPSDE,
    score_fn: ScoreFn,
    x0: Array,
    *,
    n: int,
    reduction: Reduction = mean_over_dims,
) -> Array:
    """The simple DDPM loss: the error of the predicted noise at a uniform step of the n-step chain.

    reduce( |std_i s(sqrt(alphabar_i) x_0 + std_i z, t_i) + z|^2 ), std_i^2 = 1 - alphabar_i
    (Ho et al. 2020, eq. 14); the predicted noise is -std_i s.

    Returns:
      (B,) losses.
    """
    i_key, z_key = jax.random.split(key)
    i = jax.random.randint(i_key, x0.shape[:1], 0, n)
    z = jax.random.normal(z_key, x0.shape)
    alpha_bar = bcast(sde.chain_alpha_bars(n)[i], x0)
    std = jnp.sqrt(1 - alpha_bar)
    x = jnp.sqrt(alpha_bar) * x0 + std * z
    return reduction((std * score_fn(x, chain_time(i, n)) + z) ** 2)
