"""Adaptive integration of ODEs on the device, each example of a batch with its own step size.

    dy/dt = f(t, y),   y a pytree of (B, ...) arrays,   t (B,)

The Dormand-Prince 5(4) pair with local extrapolation and the step-size rule of Hairer, Norsett &
Wanner, "Solving Ordinary Differential Equations I", section II.4. A batch shares only the loop:
error, step, time, acceptance and count of evaluations belong to the example, so an answer does not
depend on who else is in the batch. `advance` runs a bounded number of attempts and can be called
again on its own result.

Why not diffrax here: a vmapped solve evaluates f example by example and reports steps, not
  evaluations; it cannot be stopped, thinned out and continued. diffrax is the oracle of
  `tests/test_ode.py` instead.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from scoresde_jax.types import Array, bcast

PyTree = Any
VectorField = Callable[[Array, PyTree], PyTree]  # (t (B,), y) -> dy/dt, shapes of y

# The Dormand-Prince tableau (Dormand & Prince 1980, table 2). The last row of A is the fifth-order
# solution, so its derivative starts the next step ("first same as last").
_C = (0, 1 / 5, 3 / 10, 4 / 5, 8 / 9, 1, 1)
_A = (
    (0, 0, 0, 0, 0, 0, 0),
    (1 / 5, 0, 0, 0, 0, 0, 0),
    (3 / 40, 9 / 40, 0, 0, 0, 0, 0),
    (44 / 45, -56 / 15, 32 / 9, 0, 0, 0, 0),
    (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729, 0, 0, 0),
    (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656, 0, 0),
    (35 / 384, 0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84, 0),
)
# Fifth-order minus fourth-order weights.
_E = (71 / 57600, 0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40)
_STAGES = 7
_START_EVALUATIONS = 2
_STEP_EVALUATIONS = _STAGES - 1
_SAFETY, _SHRINK, _GROW = 0.9, 0.2, 10.0  # step-size factors, as in scipy's RK45
_ORDER = 5


class State(NamedTuple):
    """Where each example stands: enough to go on, and nothing else."""

    t: Array  # (B,)
    y: PyTree
    dydt: PyTree  # f(t, y)
    h: Array  # (B,) next step, positive
    rejected: Array  # (B,) bool, the last attempt failed
    attempts: Array  # (B,) int32, steps tried
    stuck: Array  # (B,) bool, the step fell below the spacing of float32 times


class Solution(NamedTuple):
    """The end of a solve, per example."""

    y: PyTree  # at t1; NaN where not converged
    nfe: Array  # (B,) int32, evaluations of f
    converged: Array  # (B,) bool


def solve(
    f: VectorField,
    y0: PyTree,
    t0: float | Array,
    t1: float | Array,
    *,
    rtol: float,
    atol: float,
    max_steps: int,
) -> Solution:
    """Integrates from t0 to t1 (either direction), every example at its own pace.

    The error of a step is the largest, over the leaves of y, of the root mean square of
    error / (atol + rtol |y|) over that leaf's dimensions: a leaf that matters counts in full
    however small it is.

    Args:
      y0: pytree of (B, ...) arrays.
      t0, t1: scalars.
      max_steps: attempts allowed per example; a solve that needs more, or meets NaN, is not
        converged.
    """
    state = start(f, y0, t0, t1, rtol=rtol, atol=atol)
    state = advance(f, state, t1, rtol=rtol, atol=atol, max_steps=max_steps)
    return finish(state, t1)


def start(
    f: VectorField, y0: PyTree, t0: float | Array, t1: float | Array, *, rtol: float, atol: float
) -> State:
    """Evaluates f twice to choose a first step (Hairer et al., section II.4)."""
    batch = jax.tree.leaves(y0)[0].shape[0]
    t = jnp.full((batch,), t0, jnp.float32)
    direction = jnp.sign(jnp.asarray(t1 - t0))
    zeros = jax.tree.map(jnp.zeros_like, y0)
    size = _norm(_scaled(y0, y0, rtol, atol))

    def evaluate(i, carry):
        dydt, h, slope = carry
        previous = dydt
        dydt_i = f(t + direction * h, _add(y0, previous, direction * h))
        change = _norm(_scaled(_subtract(dydt_i, previous), y0, rtol, atol))
        first = _norm(_scaled(dydt_i, y0, rtol, atol))
        probe = jnp.where((size < 1e-5) | (first < 1e-5), 1e-6, 0.01 * size / first)
        probe = jnp.minimum(probe, jnp.abs(t1 - t))  # f may be undefined beyond t1
        curvature = jnp.maximum(slope, change / jnp.where(h > 0, h, 1.0))
        step = jnp.where(
            curvature <= 1e-15, jnp.maximum(1e-6, h * 1e-3), (0.01 / curvature) ** (1 / _ORDER)
        )
        is_first = i == 0
        dydt = jax.tree.map(lambda new, old: jnp.where(is_first, new, old), dydt_i, previous)
        h = jnp.where(is_first, probe, jnp.minimum(100 * h, step))
        return dydt, h, jnp.where(is_first, first, slope)

    # A loop of two so that f is traced, and compiled, once.
    dydt, h, _ = jax.lax.fori_loop(
        0, _START_EVALUATIONS, evaluate, (zeros, jnp.zeros(batch), jnp.zeros(batch))
    )
    nothing = jnp.zeros(batch, bool)
    h = jnp.minimum(jnp.where(jnp.isfinite(h), h, 1e-6), jnp.abs(t1 - t))
    return State(t, y0, dydt, h, nothing, jnp.zeros(batch, jnp.int32), nothing)


def active(state: State, t1: float | Array, max_steps: int | Array) -> Array:
    """Which examples still have steps to make and may make them, (B,) bool."""
    return (state.t != t1) & ~state.stuck & (state.attempts < max_steps)


def advance(
    f: VectorField,
    state: State,
    t1: float | Array,
    *,
    rtol: float,
    atol: float,
    max_steps: int | Array,
) -> State:
    """Steps all active examples until none is left, each for at most max_steps attempts."""
    t1 = jnp.asarray(t1, jnp.float32)
    return jax.lax.while_loop(
        lambda state: jnp.any(active(state, t1, max_steps)),
        lambda state: _attempt(f, state, t1, active(state, t1, max_steps), rtol, atol),
        state,
    )


def finish(state: State, t1: float | Array) -> Solution:
    """Reads the answer off a state; examples that did not reach t1 become NaN."""
    converged = (state.t == jnp.asarray(t1, jnp.float32)) & ~state.stuck
    y = jax.tree.map(lambda leaf: jnp.where(bcast(converged, leaf), leaf, jnp.nan), state.y)
    return Solution(y, _START_EVALUATIONS + _STEP_EVALUATIONS * state.attempts, converged)


def _attempt(
    f: VectorField, state: State, t1: Array, moving: Array, rtol: float, atol: float
) -> State:
    """One Dormand-Prince step of every example; those not `moving` stay where they are."""
    left = t1 - state.t
    h = jnp.minimum(state.h, jnp.abs(left))
    signed = jnp.where(moving, jnp.sign(left) * h, 0.0)
    t_new = jnp.where(h >= jnp.abs(left), t1, state.t + signed)
    a, c = jnp.asarray(_A, jnp.float32), jnp.asarray(_C, jnp.float32)
    slopes = jax.tree.map(
        lambda k: jnp.zeros((_STAGES, *k.shape), k.dtype).at[0].set(k), state.dydt
    )

    def stage(i, carry):
        slopes, _ = carry
        y = _add(state.y, _combine(a[i], slopes), signed)
        k = f(state.t + c[i] * signed, y)
        return jax.tree.map(lambda ks, k: ks.at[i].set(k), slopes, k), y

    slopes, y_new = jax.lax.fori_loop(1, _STAGES, stage, (slopes, state.y))
    error = jax.tree.map(
        lambda e: e * bcast(signed, e), _combine(jnp.asarray(_E, jnp.float32), slopes)
    )
    larger = jax.tree.map(lambda a, b: jnp.maximum(jnp.abs(a), jnp.abs(b)), state.y, y_new)
    ratio = _norm(_scaled(error, larger, rtol, atol))
    ratio = jnp.where(jnp.isfinite(ratio), ratio, jnp.inf)

    accepted = moving & (ratio < 1)
    factor = _SAFETY * jnp.maximum(ratio, 1e-10) ** (-1 / _ORDER)
    most = jnp.where(state.rejected | ~accepted, 1.0, _GROW)
    h_new = h * jnp.clip(factor, _SHRINK, most)
    float32 = jnp.finfo(jnp.float32)  # tiny: at t = 0 the spacing shrinks with the step
    spacing = 4 * float32.eps * jnp.maximum(jnp.abs(state.t), jnp.abs(t_new)) + float32.tiny

    def keep(new, old):
        return jax.tree.map(lambda n, o: jnp.where(bcast(accepted, n), n, o), new, old)

    return State(
        t=jnp.where(accepted, t_new, state.t),
        y=keep(y_new, state.y),
        dydt=keep(jax.tree.map(lambda ks: ks[-1], slopes), state.dydt),
        h=jnp.where(moving, h_new, state.h),
        rejected=jnp.where(moving, ~accepted, state.rejected),
        attempts=state.attempts + moving,
        stuck=state.stuck | (moving & ~accepted & (h_new < spacing)),
    )


def _add(y: PyTree, dy: PyTree, h: Array) -> PyTree:
    return jax.tree.map(lambda y, dy: y + bcast(h, dy) * dy, y, dy)


def _subtract(a: PyTree, b: PyTree) -> PyTree:
    return jax.tree.map(jnp.subtract, a, b)


def _combine(weights: Array, slopes: PyTree) -> PyTree:
    """Sum over stages of weight times slope; a stage not yet reached holds zeros."""
    return jax.tree.map(
        lambda ks: sum(weights[i] * ks[i] for i in range(_STAGES)),
        slopes,
    )


def _scaled(v: PyTree, y: PyTree, rtol: float, atol: float) -> PyTree:
    """v in units of the tolerance at y."""
    return jax.tree.map(lambda v, y: v / (atol + rtol * jnp.abs(y)), v, y)


def _norm(v: PyTree) -> Array:
    """Largest, over the leaves, of each example's root mean square; (B,)."""
    leaves = [
        jnp.mean(leaf.reshape(leaf.shape[0], -1) ** 2, axis=-1) for leaf in jax.tree.leaves(v)
    ]
    return jnp.sqrt(jnp.max(jnp.stack(leaves), axis=0))
