"""Adaptive integration of ODEs on the device, each example of a batch with its own step size.

    dy/dt = f(t, y, args),   y a pytree of (B, ...) arrays,   t (B,)

Explicit Runge-Kutta pairs with local extrapolation and the step-size rule of Hairer, Norsett &
Wanner, "Solving Ordinary Differential Equations I", section II.4. A batch shares only the loop:
error, step, time, acceptance and count of evaluations belong to the example, so an answer does not
depend on who else is in the batch.

One turn of the loop is one evaluation of f, whatever each example needs it for: to begin, to choose
a first step, or for any stage of a step. So f is compiled once, and examples may stop, leave, and
make room for others between any two turns (`compaction.py`). Those that come late wait a few turns,
so that all are at the same stage: some stages may be had for less (`advance`).

Why not diffrax here: a vmapped solve evaluates f example by example and reports steps, not
  evaluations; it cannot be stopped, thinned out and continued. diffrax is the oracle of
  `tests/test_ode.py` instead.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from scoresde_jax.runge_kutta import DORMAND_PRINCE, Pair
from scoresde_jax.types import Array, bcast

PyTree = Any
# (t (B,), y, args) -> dy/dt, shapes of y
VectorField = Callable[[Array, PyTree, PyTree], PyTree]


_SAFETY, _SHRINK, _GROW = 0.9, 0.2, 10.0  # step-size factors, as in scipy's RK45
_FOREVER = np.iinfo(np.int32).max
# What an evaluation is for: the derivative at the start, a trial step, then stages 1, 2, ...
_FIRST, _TRIAL, _STAGE = 0, 1, 2


class State(NamedTuple):
    """Where each example stands: enough to go on, and nothing else; the leading axis is B."""

    t: Array  # (B,)
    y: PyTree
    slopes: PyTree  # (B, stages, ...) of the step being made
    due: Array  # (B,) int32, what the next evaluation is for
    h: Array  # (B,) next step, positive
    rejected: Array  # (B,) bool, the last attempt failed
    attempts: Array  # (B,) int32, steps tried
    nfe: Array  # (B,) int32, evaluations of f
    turns: Array  # (B,) int32, turns that passed: evaluations, and waits for others
    stuck: Array  # (B,) bool, the step fell below the spacing of times
    args: PyTree  # what f is given besides t and y; (B, ...) leaves


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
    args: PyTree = (),
    pair: Pair = DORMAND_PRINCE,
) -> Solution:
    """Integrates from t0 to t1 (either direction), every example at its own pace.

    The error of a step is the root mean square of error / (atol + rtol |y|) over all numbers of an
    example: tolerances mean what they mean to scipy's `solve_ivp`.

    Args:
      y0: pytree of (B, ...) arrays.
      t0, t1: scalars.
      max_steps: attempts allowed per example; a solve that needs more, or meets NaN, is not
        converged.
      args: pytree of (B, ...) arrays, handed to f.
      pair: the Runge-Kutta formulas.
    """
    state = start(y0, t0, args, pair=pair)
    state = advance(f, state, t1, rtol=rtol, atol=atol, max_steps=max_steps, pair=pair)
    return finish(state, t1)


def start(
    y0: PyTree, t0: float | Array, args: PyTree = (), *, pair: Pair = DORMAND_PRINCE
) -> State:
    """The state before the first evaluation."""
    first = jax.tree.leaves(y0)[0]
    batch = first.shape[0]
    stages = len(pair.c)
    slopes = jax.tree.map(lambda k: jnp.zeros((batch, stages, *k.shape[1:]), k.dtype), y0)
    t = jnp.full((batch,), t0, first.dtype)
    none, nothing = jnp.zeros(batch, jnp.int32), jnp.zeros(batch, bool)
    return State(t, y0, slopes, none, jnp.zeros_like(t), nothing, none, none, none, nothing, args)


def active(state: State, t1: float | Array, max_steps: int | Array) -> Array:
    """Which examples still have steps to make and may make them, (B,) bool."""
    t1 = jnp.asarray(t1, state.t.dtype)
    return (state.t != t1) & ~state.stuck & (state.attempts < max_steps)


def advance(
    f: VectorField,
    state: State,
    t1: float | Array,
    *,
    rtol: float,
    atol: float,
    max_steps: int | Array,
    pair: Pair = DORMAND_PRINCE,
    fewest: int | Array = 0,
    turns: int | Array = _FOREVER,
    leading: VectorField | None = None,
) -> State:
    """Steps all active examples until at most `fewest` are left, or for `turns` evaluations.

    It can be called again on its own result, with the examples exchanged for others.

    Args:
      leading: f for the stages that only lead to others (`Pair.idle`): leaves that f does not
        depend on, integrals along the path, may be zero there.
    """
    t1 = jnp.asarray(t1, state.t.dtype)

    def go_on(carry: tuple[State, Array]) -> Array:
        state, turn = carry
        return (jnp.sum(active(state, t1, max_steps)) > fewest) & (turn < turns)

    def turn(carry: tuple[State, Array]) -> tuple[State, Array]:
        state, turn = carry
        here = active(state, t1, max_steps)
        stage = jnp.max(jnp.where(here, state.due, 0))
        # Two evaluations come before a step: they are in time for its end if made at this one's.
        moving = here & ((state.due == stage) | (stage - state.due == len(pair.c) - 1))
        field = f
        if leading is not None and pair.idle:
            idle = jnp.any(stage == _STAGE - 1 + jnp.asarray(pair.idle))
            field = partial(jax.lax.cond, idle, leading, f)
        after = _turn(field, state, t1, moving, rtol, atol, pair)
        return after._replace(turns=state.turns + here), turn + 1

    return jax.lax.while_loop(go_on, turn, (state, jnp.zeros((), jnp.int32)))[0]


def finish(state: State, t1: float | Array) -> Solution:
    """Reads the answer off a state; examples that did not reach t1 become NaN."""
    converged = (state.t == jnp.asarray(t1, state.t.dtype)) & ~state.stuck
    y = jax.tree.map(lambda leaf: jnp.where(bcast(converged, leaf), leaf, jnp.nan), state.y)
    return Solution(y, state.nfe, converged)


def _turn(
    f: VectorField, state: State, t1: Array, moving: Array, rtol: float, atol: float, pair: Pair
) -> State:
    """One evaluation for every example, and what follows of it; those not `moving` stay."""
    stages, dtype = len(pair.c), state.t.dtype
    weights, times, slots = (jnp.asarray(table) for table in _tables(pair))
    weights, times = weights.astype(dtype), times.astype(dtype)

    left = t1 - state.t
    h = jnp.minimum(state.h, jnp.abs(left))
    signed = jnp.where(moving, jnp.sign(left) * h, 0.0)
    y = _add(state.y, _combine(weights[state.due], state.slopes), signed)
    k = f(state.t + times[state.due] * signed, y, state.args)
    here = (jnp.arange(stages) == slots[state.due][:, None]) & moving[:, None]
    slopes = jax.tree.map(
        lambda ks, k: jnp.where(here.reshape(*here.shape, *[1] * (k.ndim - 1)), k[:, None], ks),
        state.slopes,
        k,
    )

    # At the start: a trial step from the size of the derivative, a first step from its change.
    trial = _trial_step(state.y, k, jnp.abs(left), rtol, atol)
    first = jnp.minimum(_first_step(state, k, h, rtol, atol, pair.order), jnp.abs(left))

    # At the last stage: y is the new solution, if its error is small enough.
    last = moving & (state.due == _STAGE + stages - 2)
    t_new = jnp.where(h >= jnp.abs(left), t1, state.t + signed)
    error_weights = jnp.broadcast_to(jnp.asarray(pair.error, dtype), (len(h), stages))
    error = jax.tree.map(lambda e: e * bcast(signed, e), _combine(error_weights, slopes))
    larger = jax.tree.map(lambda a, b: jnp.maximum(jnp.abs(a), jnp.abs(b)), state.y, y)
    ratio = _norm(_scaled(error, larger, rtol, atol))
    ratio = jnp.where(jnp.isfinite(ratio), ratio, jnp.inf)
    accepted = last & (ratio < 1)
    factor = _SAFETY * jnp.maximum(ratio, 1e-10) ** (-1 / pair.order)
    most = jnp.where(state.rejected | ~accepted, 1.0, _GROW)
    h_new = h * jnp.clip(factor, _SHRINK, most)
    info = jnp.finfo(dtype)  # tiny: at t = 0 the spacing shrinks with the step
    spacing = 4 * info.eps * jnp.maximum(jnp.abs(state.t), jnp.abs(t_new)) + info.tiny

    steps = jnp.where(state.due == _FIRST, trial, jnp.where(state.due == _TRIAL, first, state.h))
    return State(
        t=jnp.where(accepted, t_new, state.t),
        y=jax.tree.map(lambda n, o: jnp.where(bcast(accepted, n), n, o), y, state.y),
        slopes=jax.tree.map(partial(_begin_step, last, accepted), slopes),
        due=jnp.where(moving, jnp.where(last, _STAGE, state.due + 1), state.due),
        h=jnp.where(moving, jnp.where(last, h_new, steps), state.h),
        rejected=jnp.where(last, ~accepted, state.rejected),
        attempts=state.attempts + last,
        nfe=state.nfe + moving,
        turns=state.turns,
        stuck=state.stuck | (last & ~accepted & (h_new < spacing)),
        args=state.args,
    )


def _begin_step(last: Array, accepted: Array, slopes: Array) -> Array:
    """Where a step has ended, only its first slope, or else its last, is kept for the next one.

    The others are zero until they are known: a weight of zero does not undo a NaN.
    """
    kept = jnp.where(bcast(accepted, slopes[:, 0]), slopes[:, -1], slopes[:, 0])
    cleared = jnp.zeros_like(slopes).at[:, 0].set(kept)
    return jnp.where(bcast(last, slopes), cleared, slopes)


def _tables(pair: Pair) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each thing that may be due: weights of the slopes, time, and the slope it becomes.

    The trial step becomes none.
    """
    stages = len(pair.c)
    rows = [(), (1.0,), *pair.a[1:]]
    weights = np.array([[*row, *[0.0] * (stages - len(row))] for row in rows])
    return weights, np.array([0.0, 1.0, *pair.c[1:]]), np.array([0, -1, *range(1, stages)])


def _trial_step(y: PyTree, k: PyTree, left: Array, rtol: float, atol: float) -> Array:
    """A step after which y has changed by a hundredth (Hairer et al., section II.4, a-b)."""
    size, slope = _norm(_scaled(y, y, rtol, atol)), _norm(_scaled(k, y, rtol, atol))
    h = jnp.where((size < 1e-5) | (slope < 1e-5), 1e-6, 0.01 * size / slope)
    # f may be undefined beyond t1; a slope that is not finite is found out by the step's error.
    return jnp.minimum(jnp.where(jnp.isfinite(h), h, 1e-6), left)


def _first_step(state: State, k: PyTree, h: Array, rtol: float, atol: float, order: int) -> Array:
    """The step whose error would be a hundredth, by how k changed over h (ibid., c-f)."""
    before = jax.tree.map(lambda ks: ks[:, 0], state.slopes)
    change = _norm(_scaled(jax.tree.map(jnp.subtract, k, before), state.y, rtol, atol))
    slope = _norm(_scaled(before, state.y, rtol, atol))
    curvature = jnp.maximum(slope, change / jnp.where(h > 0, h, 1.0))
    step = jnp.where(
        curvature <= 1e-15, jnp.maximum(1e-6, h * 1e-3), (0.01 / curvature) ** (1 / order)
    )
    step = jnp.minimum(100 * h, step)
    return jnp.where(jnp.isfinite(step), step, 1e-6)


def _add(y: PyTree, dy: PyTree, h: Array) -> PyTree:
    return jax.tree.map(lambda y, dy: y + bcast(h, dy) * dy, y, dy)


def _combine(weights: Array, slopes: PyTree) -> PyTree:
    """Each example's sum over stages of weight (B, stages) times slope (B, stages, ...)."""
    return jax.tree.map(
        lambda ks: sum(bcast(weights[:, i], ks[:, i]) * ks[:, i] for i in range(ks.shape[1])),
        slopes,
    )


def _scaled(v: PyTree, y: PyTree, rtol: float, atol: float) -> PyTree:
    """v in units of the tolerance at y."""
    return jax.tree.map(lambda v, y: v / (atol + rtol * jnp.abs(y)), v, y)


def _norm(v: PyTree) -> Array:
    """Each example's root mean square over all leaves; (B,)."""
    leaves = [leaf.reshape(leaf.shape[0], -1) for leaf in jax.tree.leaves(v)]
    return jnp.sqrt(jnp.mean(jnp.concatenate(leaves, axis=1) ** 2, axis=1))
