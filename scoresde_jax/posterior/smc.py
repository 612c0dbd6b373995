"""Twisted sequential Monte Carlo: TDS (Wu et al. 2023, Algorithm 1).

Particles go down the ladder by guided steps, and weights undo what the guidance got wrong:

    x_s ~ q(. | x_t) = N(m(x_t) + shift, noise^2)    shift: grad log h_t added to the score
    w <- w  p(x_s | x_t) / q(x_s | x_t)  h_s(x_s) / h_t(x_t)         p = N(m, noise^2), unguided
    h_t(x) = N(y; A D(x, t), r_t^2 A A^T + noise_std^2 I)    h_0(x) = N(y; A x, noise_std^2 I)

drawn anew by their weights whenever these are uneven. h_t, of `likelihood.py`, may be anything;
h_0 is what makes the weighted particles those of p(x_0) p(y | x_0), as their number grows, where
p(x_0) is what `grid_sample(method=sde_dpm_solver_1)` draws on the same grid. That, in turn, tends
to the data as steps are added. The paper has DDPM's step and p(y | x_0 = D) for a twist; the step
is that of `ladder.py`, and the twist PiGDM's, which is wide where D says little.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from scoresde_jax.posterior.ladder import Row, rows
from scoresde_jax.posterior.likelihood import likelihood
from scoresde_jax.posterior.operators.linear import Operator, check_problem, forward_of
from scoresde_jax.sampling.change import alpha_std, denoised
from scoresde_jax.sampling.fixed import fixed_cost
from scoresde_jax.sampling.grids import log_snr_grid
from scoresde_jax.sde import SDE
from scoresde_jax.types import Array, Samples, ScoreFn, bcast

# Particles are drawn anew where fewer than this share of them would be worth as much.
LEAST_EFFECTIVE = 0.5


class Particles(NamedTuple):
    """A posterior in weighted draws, K for each measurement."""

    x: Array  # (B, K, H, W, C)
    log_weight: Array  # (B, K), of weights that sum to 1
    nfe: int  # evaluations for each measurement, all its particles together


class Cloud(NamedTuple):
    """Particles on their way, K for each of B measurements."""

    x: Array  # (B K, H, W, C), those of one measurement beside each other
    log_weight: Array  # (B, K)
    twist: Array  # (B, K) log h_t by which they are weighted so far


def smc_sample(
    key: Array,
    sde: SDE,
    score_fn: ScoreFn,
    operator: Operator,
    y: Array,
    shape: tuple[int, ...],
    *,
    noise_std: float,
    steps: int,
    t_min: float,
    particles: int,
    prior_std: float = 1.0,
) -> Samples:
    """Draws one restoration of each y, from as many particles of its own.

    Exact in the limit of many particles and steps, for every operator, linear or a differentiable
    function. Arguments as of `posterior`, and

    Args:
      noise_std: not 0: exact measurements have no density.
      particles: for each y; the network sees B times as many images at once.
      prior_std: of the data about their mean, for the guidance; it has no bearing on the limit.

    Returns:
      Samples with nfe = particles (steps + 1), all but the last of each with a gradient; NaN where
      a weight is.

    Raises:
      ValueError: noise_std is not positive; there is no particle.
    """
    draw_key, key = jax.random.split(key)
    found = smc_particles(
        key,
        sde,
        score_fn,
        operator,
        y,
        shape,
        noise_std=noise_std,
        steps=steps,
        t_min=t_min,
        particles=particles,
        prior_std=prior_std,
    )
    return fixed_cost(one_of_each(draw_key, found.x, found.log_weight), found.nfe)


def smc_particles(
    key: Array,
    sde: SDE,
    score_fn: ScoreFn,
    operator: Operator,
    y: Array,
    shape: tuple[int, ...],
    *,
    noise_std: float,
    steps: int,
    t_min: float,
    particles: int,
    prior_std: float = 1.0,
) -> Particles:
    """All particles of each y: for means, variances, or several draws of one y. As `smc_sample`."""
    check_problem(operator, y, shape, noise_std, steps)
    if noise_std == 0:
        raise ValueError(
            "smc weighs images by p(y | x), so noise_std is positive; it is 0. Take what y is "
            "rounded to, or one of ddrm, projection and replacement."
        )
    if particles < 1:
        raise ValueError(f"particles is {particles}; it is 1 or more.")
    prior_key, loop_key = jax.random.split(key)
    levels = rows(sde, log_snr_grid, steps, t_min)
    above, last = jax.tree.map(lambda a: a[:-1], levels), jax.tree.map(lambda a: a[-1], levels)
    step = partial(smc_step, loop_key, sde, score_fn, operator, y)

    def body(cloud: Cloud, row: Row) -> tuple[Cloud, None]:
        return step(cloud, row, noise_std=noise_std, prior_std=prior_std), None

    cloud, _ = jax.lax.scan(body, smc_start(prior_key, sde, shape, particles), above)
    x, log_weight = smc_end(sde, score_fn, operator, y, cloud, last, noise_std=noise_std)
    return Particles(x, log_weight, particles * (steps + 1))


def smc_start(key: Array, sde: SDE, shape: tuple[int, ...], particles: int) -> Cloud:
    """Particles at t = 1 for samples of a shape (B, H, W, C)."""
    x = sde.prior_sample(key, (shape[0] * particles, *shape[1:]))
    none = jnp.zeros((shape[0], particles))
    return Cloud(x, none, none)


def smc_step(
    key: Array,
    sde: SDE,
    score_fn: ScoreFn,
    operator: Operator,
    y: Array,
    cloud: Cloud,
    row: Row,
    *,
    noise_std: float,
    prior_std: float = 1.0,
) -> Cloud:
    """One step of `smc_particles` but the last: weighted, drawn anew where uneven, moved.

    The key is the same for all steps.
    """
    batch, count = cloud.log_weight.shape
    x, ys, t = cloud.x, jnp.repeat(y, count, axis=0), row.t
    resample_key, noise_key = jax.random.split(jax.random.fold_in(key, row.i))
    at = likelihood(sde, score_fn, operator, ys, x, t, noise_std=noise_std, prior_std=prior_std)
    twist = at.logp.reshape(batch, count)
    index, log_weight = _resample(resample_key, cloud.log_weight + twist - cloud.twist)

    def chosen(a: Array) -> Array:
        grouped = a.reshape(batch, count, -1)
        return jnp.take_along_axis(grouped, index[..., None], axis=1).reshape(a.shape)

    alpha, std = alpha_std(sde, t)
    keep, weight, noise = row.down
    shift = weight * (std**2 / alpha) * chosen(at.gradient)
    z = jax.random.normal(noise_key, x.shape, x.dtype)
    x = keep * chosen(x) + weight * chosen(at.x0) + shift + noise * z
    # log p - log q at x = m + shift + noise z, in units of noise.
    ratio = -0.5 * (shift / noise) * (shift / noise + 2 * z)
    log_weight = log_weight + jnp.sum(ratio.reshape(batch, count, -1), axis=-1)
    return Cloud(x, log_weight, jnp.take_along_axis(twist, index, axis=1))


def smc_end(
    sde: SDE,
    score_fn: ScoreFn,
    operator: Operator,
    y: Array,
    cloud: Cloud,
    row: Row,
    *,
    noise_std: float,
) -> tuple[Array, Array]:
    """The step to the data, whose weights are of y itself: x (B, K, ...), log_weight (B, K)."""
    batch, count = cloud.log_weight.shape
    x0 = denoised(sde, score_fn, cloud.x, row.t)
    seen = forward_of(operator)(x0)
    residual = (jnp.repeat(y, count, axis=0) - seen).reshape(batch, count, -1) / noise_std
    log_weight = cloud.log_weight - 0.5 * jnp.sum(residual**2, axis=-1) - cloud.twist
    return x0.reshape(batch, count, *x0.shape[1:]), jax.nn.log_softmax(log_weight)


def one_of_each(key: Array, x: Array, log_weight: Array) -> Array:
    """One particle of each measurement by their weights: (B, ...) of x (B, K, ...).

    Where a weight of a measurement is NaN so is its draw: `categorical` would make it particle 0.
    """
    index = jax.random.categorical(key, log_weight)
    drawn = x[jnp.arange(x.shape[0]), index]
    return jnp.where(bcast(jnp.isnan(log_weight).any(axis=-1), drawn), jnp.nan, drawn)


def _resample(key: Array, log_weight: Array) -> tuple[Array, Array]:
    """Systematic resampling of each row (B, K) whose weights are uneven: who stays, new weights."""
    weight = jax.nn.softmax(log_weight)
    count = weight.shape[1]
    effective = 1 / jnp.sum(weight**2, axis=-1, keepdims=True)
    start = jax.random.uniform(key, (weight.shape[0], 1))
    teeth = (jnp.arange(count) + start) / count
    index = jax.vmap(jnp.searchsorted)(jnp.cumsum(weight, axis=-1), teeth)
    uneven = effective < LEAST_EFFECTIVE * count
    index = jnp.where(uneven, jnp.minimum(index, count - 1), jnp.arange(count))
    return index, jnp.where(uneven, 0.0, log_weight)
