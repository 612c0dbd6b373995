"""The reverse SDE with adaptive steps, as in "Gotta go fast" (Jolicoeur-Martineau et al. 2021).

    K1 = -h F(x, t) + g(t) dB                      F = f - g^2 score, the reverse drift
    K2 = -h F(x + K1, t - h) + g(t - h) dB         the same noise, dB = B(t) - B(t - h)
    x' = x + K1,   x'' = x + (K1 + K2) / 2         Euler-Maruyama; improved Euler
    E  = rms of (x'' - x') / max(atol, rtol |x'|, rtol |x'_prev|)
    E <= 1:  x <- x'',  t <- t - h;     always:  h <- min(0.9 h E^-0.9, 2 h, what is left)

Two things are not in the authors' code, so that samples of few numbers are right too; of images,
where thousands of numbers share one E, they change nothing. The code draws new noise for each
attempt, and what it accepts is not Gaussian: the std of a single number comes out 1.5 to 2.2 times
too large. Here each example has a Brownian motion B of its own, and keeps to it when a step is
rejected. And the code lets h grow at will; but the E of a single number can vanish by chance, and a
step far too long be accepted by another: 1.35 times the std, under linear VE. Here h at most
doubles.

A batch shares only the loop: step, time, noise and count of evaluations belong to the example, so
an answer does not depend on who else is in the batch.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from scoresde_jax.sampling.brownian import brownian
from scoresde_jax.sampling.change import denoised
from scoresde_jax.sde import SDE, reverse_drift
from scoresde_jax.types import Array, Samples, ScoreFn, bcast

_SAFETY, _POWER = 0.9, 0.9  # theta and r of the paper
_SHRINK = 0.2  # of a step whose error is not finite, as in `ode.py`
_GROW = 2.0  # see above


class State(NamedTuple):
    """Where each example stands."""

    x: Array  # (B, ...)
    previous: Array  # (B, ...) x' of the last accepted step
    t: Array  # (B,)
    h: Array  # (B,) next step, positive
    motion: Array  # (B, ...) Brownian motion at t
    attempts: Array  # (B,) int32, steps tried
    stuck: Array  # (B,) bool, the step fell below the spacing of times


def adaptive_sample(
    key: Array,
    sde: SDE,
    score_fn: ScoreFn,
    shape: tuple[int, ...],
    *,
    t_min: float,
    rtol: float,
    atol: float,
    h_init: float = 0.01,
    max_steps: int = 1000,
    denoise: bool = True,
) -> Samples:
    """Draws samples: noise from the prior, carried to t_min by the reverse SDE.

    Args:
      shape: (B, ...) of the samples. The first of them do not depend on B.
      rtol, atol: tolerances, per example; 0.01 to 0.05 and a grey level are usual.
      h_init: the first step that is tried.
      max_steps: attempts allowed per example; one that needs more, or meets NaN, is NaN and not
        converged.
      denoise: return the x0-prediction at t_min, for one evaluation more, instead of x itself.

    Returns:
      Samples in the data's scale. score_fn is traced once, and once more for `denoise`.
    """
    keys = jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(shape[0]))
    prior_keys, noise_keys = jax.vmap(jax.random.split, out_axes=1)(keys)
    x = jax.vmap(lambda key: sde.prior_sample(key, shape[1:]))(prior_keys)
    samples = reverse(
        noise_keys,
        sde,
        score_fn,
        x,
        t_min=t_min,
        rtol=rtol,
        atol=atol,
        h_init=h_init,
        max_steps=max_steps,
    )
    if not denoise:
        return samples
    x0 = denoised(sde, score_fn, samples.x, jnp.asarray(t_min, x.dtype))
    return samples._replace(x=x0, nfe=samples.nfe + 1)


def reverse(
    keys: Array,
    sde: SDE,
    score_fn: ScoreFn,
    x: Array,
    *,
    t_min: float,
    rtol: float,
    atol: float,
    h_init: float,
    max_steps: int,
) -> Samples:
    """Carries x (B, ...) from t = 1 to t_min, each example with its own key (B,)."""
    batch = x.shape[:1]
    t, end = jnp.ones(batch, x.dtype), jnp.asarray(t_min, x.dtype)
    start = State(
        x=x,
        previous=x,
        t=t,
        h=jnp.full_like(t, h_init),
        motion=jax.vmap(brownian, (0, 0, None))(keys, t, x.shape[1:]),
        attempts=jnp.zeros(batch, jnp.int32),
        stuck=jnp.zeros(batch, bool),
    )

    def moving(state: State) -> Array:
        return (state.t > end) & ~state.stuck & (state.attempts < max_steps)

    state = jax.lax.while_loop(
        lambda state: jnp.any(moving(state)),
        lambda state: _attempt(keys, sde, score_fn, state, moving(state), end, rtol, atol),
        start,
    )
    converged = state.t == end
    x = jnp.where(bcast(converged, x), state.x, jnp.nan)
    return Samples(x, 2 * state.attempts, converged)


def _attempt(
    keys: Array,
    sde: SDE,
    score_fn: ScoreFn,
    state: State,
    moving: Array,
    end: Array,
    rtol: float,
    atol: float,
) -> State:
    """One step of every example; those not `moving` stay where they are."""
    x, t = state.x, state.t
    h = jnp.where(moving, jnp.minimum(state.h, t - end), 0.0)
    t_new = jnp.where(h < t - end, t - h, end)
    motion = jax.vmap(brownian, (0, 0, None))(keys, t_new, x.shape[1:])
    increment = state.motion - motion

    def stage(j: Array, changes: tuple[Array, Array]) -> tuple[Array, Array]:
        last, _ = changes
        at = jnp.where(j == 0, t, t_new)
        drift = reverse_drift(sde, score_fn, x + last, at)
        return bcast(sde.diffusion(at), x) * increment - bcast(h, x) * drift, last

    # A loop of two so that score_fn is traced, and compiled, once.
    nothing = jnp.zeros_like(x)
    second, first = jax.lax.fori_loop(0, 2, stage, (nothing, nothing))
    euler = x + first
    tolerance = jnp.maximum(atol, rtol * jnp.maximum(jnp.abs(euler), jnp.abs(state.previous)))
    ratio = ((second - first) / (2 * tolerance)).reshape(x.shape[0], -1)
    error = jnp.sqrt(jnp.mean(ratio**2, axis=-1))

    accepted = moving & (error <= 1)
    finite = jnp.isfinite(error)
    tiny = jnp.finfo(x.dtype).tiny
    grow = jnp.where(finite, _SAFETY * jnp.maximum(error, tiny) ** -_POWER, _SHRINK)
    left = jnp.where(accepted, t_new, t) - end
    h_new = jnp.minimum(_rounded(h * jnp.minimum(grow, _GROW)), left)

    def keep(new: Array, old: Array) -> Array:
        return jnp.where(bcast(accepted, new), new, old)

    return State(
        x=keep(x + (first + second) / 2, x),
        previous=keep(euler, state.previous),
        t=keep(t_new, t),
        h=jnp.where(moving, h_new, state.h),
        motion=keep(motion, state.motion),
        attempts=state.attempts + moving,
        stuck=state.stuck | (moving & ~accepted & (h_new < 4 * jnp.finfo(x.dtype).eps * t)),
    )


def _rounded(h: Array) -> Array:
    """h down to its first 4 binary digits.

    B is rough: at times that differ by a rounding error e it differs by sqrt(e). With few digits in
    h, rounding errors in E do not reach the times.
    """
    mantissa, exponent = jnp.frexp(h)
    return jnp.ldexp(jnp.floor(16 * mantissa) / 16, exponent)
