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

from typing import NamedTuple

import jax
import jax.numpy as jnp

from scoresde_jax.posterior.ladder import down, ladder
from scoresde_jax.posterior.likelihood import likelihood
from scoresde_jax.posterior.operators.linear import Operator, check_problem, forward_of
from scoresde_jax.sampling.change import denoised
from scoresde_jax.sampling.grids import Grid, log_snr_grid
from scoresde_jax.sde import SDE
from scoresde_jax.types import Array, Samples, ScoreFn

# Particles are drawn anew where fewer than this share of them would be worth as much.
LEAST_EFFECTIVE = 0.5


class Particles(NamedTuple):
    """A posterior in weighted draws, K for each measurement."""

    x: Array  # (B, K, H, W, C)
    log_weight: Array  # (B, K), of weights that sum to 1
    nfe: int  # evaluations for each measurement, all its particles together


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
    grid: Grid = log_snr_grid,
) -> Samples:
    """Draws one restoration of each y, from as many particles of its own.

    Exact in the limit of many particles and steps, for every operator, linear or a differentiable
    function.

    Args:
      shape: (B, H, W, C) of the samples; y has B rows.
      noise_std: of y, as y is scaled, and not 0: exact measurements have no density.
      particles: for each y; the network sees B times as many images at once.
      prior_std: of the data about their mean, for the guidance; it has no bearing on the limit.

    Returns:
      Samples with nfe = particles (steps + 1), all but the last of each with a gradient.

    Raises:
      ValueError: the operator does not go with y and shape; noise_std is not positive; there is no
        particle.
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
        grid=grid,
    )
    chosen = jax.random.categorical(draw_key, found.log_weight)
    x = found.x[jnp.arange(shape[0]), chosen]
    batch = shape[:1]
    return Samples(x, jnp.full(batch, found.nfe, jnp.int32), jnp.ones(batch, bool))


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
    grid: Grid = log_snr_grid,
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
    batch = shape[0]
    levels = ladder(sde, grid, steps, t_min)
    ys = jnp.repeat(y, particles, axis=0)
    prior_key, loop_key = jax.random.split(key)

    def step(state: tuple[Array, Array, Array], row: tuple) -> tuple[tuple, None]:
        x, log_weight, before = state
        i, t, (keep, weight, noise), alpha, std = row
        resample_key, noise_key = jax.random.split(jax.random.fold_in(loop_key, i))
        at = likelihood(sde, score_fn, operator, ys, x, t, noise_std=noise_std, prior_std=prior_std)
        twist = at.logp.reshape(batch, particles)
        log_weight = log_weight + twist - before
        index, log_weight = _resample(resample_key, log_weight)

        def chosen(a: Array) -> Array:
            grouped = a.reshape(batch, particles, -1)
            return jnp.take_along_axis(grouped, index[..., None], axis=1).reshape(a.shape)

        shift = weight * (std**2 / alpha) * chosen(at.gradient)
        z = jax.random.normal(noise_key, x.shape, x.dtype)
        x = keep * chosen(x) + weight * chosen(at.x0) + shift + noise * z
        # log p - log q at x = m + shift + noise z, in units of noise.
        ratio = -0.5 * (shift / noise) * (shift / noise + 2 * z)
        log_weight = log_weight + jnp.sum(ratio.reshape(batch, particles, -1), axis=-1)
        return (x, log_weight, chosen(twist.reshape(-1)).reshape(batch, particles)), None

    none = jnp.zeros((batch, particles))
    x = sde.prior_sample(prior_key, (batch * particles, *shape[1:]))
    rows = (
        jnp.arange(steps),
        levels.times[:-1],
        jax.tree.map(lambda a: a[:-1], down(levels)),
        levels.alpha[:-2],
        levels.std[:-2],
    )
    (x, log_weight, before), _ = jax.lax.scan(step, (x, none, none), rows)
    x0 = denoised(sde, score_fn, x, levels.times[-1])
    residual = (ys - forward_of(operator)(x0)).reshape(batch, particles, -1) / noise_std
    log_weight = log_weight - 0.5 * jnp.sum(residual**2, axis=-1) - before
    x0 = x0.reshape(batch, particles, *shape[1:])
    return Particles(x0, jax.nn.log_softmax(log_weight), particles * (steps + 1))


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
