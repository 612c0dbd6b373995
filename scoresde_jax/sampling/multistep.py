"""Multistep samplers: one evaluation a step, and the x0-predictions of earlier steps.

    x_{i+1} = keep_i x_i + sum_k weights_ik D_{i-k} + noise_i z,    D_i = x0-prediction at x_i, t_i

Each method is a table of these numbers, computed from the grid before the loop (`weights.py`), and
the loop is the same. nfe is the number of steps.

The first steps have no earlier predictions and are of a lower order, so that the whole is of order
2 at most, although what they spoil at t = 1, where D hardly changes, is little. `history`, (t, x0)
of predictions made before times[0], newest first, gives a start of matching order. No lower order
is used at the end.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from scoresde_jax.sampling.change import alpha_std, denoised
from scoresde_jax.sampling.fixed import Shake, fixed_cost, shaken, still
from scoresde_jax.sampling.weights import (
    History,
    exact_weights,
    explicit_steps,
    middle_weights,
)
from scoresde_jax.sde import SDE
from scoresde_jax.types import Array, Samples, ScoreFn


class Table(NamedTuple):
    """The numbers of all steps."""

    keep: Array  # (steps,) multiplies x
    weights: Array  # (steps, k) multiply the predictions, newest first
    noise: Array  # (steps,) std of the noise that is added


def ddim(key: Array, sde: SDE, score_fn: ScoreFn, x: Array, times: Array) -> Samples:
    """DDIM without noise (Song et al. 2020): first order, exact where the prediction is constant.

    x_t = (sigma_t / sigma_s) x_s + alpha_t (1 - e^-h) D; also known as DPM-Solver++ of order 1, and
    the same as Euler's method for dy/ds = eps.
    """
    steps = explicit_steps(sde, times, (), 1)
    return _run(key, sde, score_fn, x, times, _flow_table(sde, times, exact_weights(steps)))


def dpm_solver_2m(
    key: Array, sde: SDE, score_fn: ScoreFn, x: Array, times: Array, *, history: History = ()
) -> Samples:
    """DPM-Solver++(2M) (Lu et al. 2022b): order 2."""
    steps = explicit_steps(sde, times, history, 2)
    weights = middle_weights(steps, -jnp.expm1(steps.start - steps.end))
    return _run(key, sde, score_fn, x, times, _flow_table(sde, times, weights), history)


def dpm_solver_3m(
    key: Array, sde: SDE, score_fn: ScoreFn, x: Array, times: Array, *, history: History = ()
) -> Samples:
    """DPM-Solver++ with three predictions, multistep: order 3.

    Integrates the parabola through them exactly. The authors' code gives the second difference half
    of its weight, by which it is of order 2.
    """
    steps = explicit_steps(sde, times, history, 3)
    return _run(
        key, sde, score_fn, x, times, _flow_table(sde, times, exact_weights(steps)), history
    )


def sde_dpm_solver_1(key: Array, sde: SDE, score_fn: ScoreFn, x: Array, times: Array) -> Samples:
    """SDE-DPM-Solver++ of order 1 (Lu et al. 2022b): the reverse SDE with D held over the step.

    x_t = (sigma_t / sigma_s) e^-h x_s + alpha_t (1 - e^-2h) D + sigma_t sqrt(1 - e^-2h) z; for VP
    this is DDIM with eta = 1.
    """
    steps = explicit_steps(sde, times, (), 1)
    total = -jnp.expm1(2 * (steps.start - steps.end))
    return _run(key, sde, score_fn, x, times, _sde_table(sde, times, total[:, None]), shake=shaken)


def sde_dpm_solver_2m(
    key: Array, sde: SDE, score_fn: ScoreFn, x: Array, times: Array, *, history: History = ()
) -> Samples:
    """SDE-DPM-Solver++(2M) (Lu et al. 2022b): the same with D from two predictions.

    Of order 2 in the moments of Gaussian data.
    """
    steps = explicit_steps(sde, times, history, 2)
    weights = middle_weights(steps, -jnp.expm1(2 * (steps.start - steps.end)))
    return _run(
        key, sde, score_fn, x, times, _sde_table(sde, times, weights), history, shake=shaken
    )


def _flow_table(sde: SDE, times: Array, weights: Array) -> Table:
    """Of the probability flow: x_t = (sigma_t / sigma_s) x_s + alpha_t sum of weights D."""
    alpha, std = alpha_std(sde, times)
    keep = std[1:] / std[:-1]
    return Table(keep, alpha[1:, None] * weights, jnp.zeros_like(keep))


def _sde_table(sde: SDE, times: Array, weights: Array) -> Table:
    """Of the reverse SDE, whose noise takes the place of a part of x."""
    alpha, std = alpha_std(sde, times)
    shrink = (std[1:] * alpha[:-1]) / (std[:-1] * alpha[1:])  # e^-h
    noise = std[1:] * jnp.sqrt((1 - shrink) * (1 + shrink))
    return Table(shrink * std[1:] / std[:-1], alpha[1:, None] * weights, noise)


def _run(
    key: Array,
    sde: SDE,
    score_fn: ScoreFn,
    x: Array,
    times: Array,
    table: Table,
    history: History = (),
    shake: Shake = still,
) -> Samples:
    steps, k = table.weights.shape
    given = [x0 for _, x0 in history[: k - 1]]
    past = (*given, *[jnp.zeros_like(x)] * (k - 1 - len(given)))

    def step(
        state: tuple[Array, tuple[Array, ...]], row: tuple[Array, Array, Table]
    ) -> tuple[tuple[Array, tuple[Array, ...]], None]:
        (x, past), (i, t, (keep, weights, noise)) = state, row
        predictions = (denoised(sde, score_fn, x, t), *past)
        x = keep * x + sum(w * x0 for w, x0 in zip(weights, predictions, strict=True))
        return (shake(key, i, x, noise), predictions[: k - 1]), None

    (x, _), _ = jax.lax.scan(step, (x, past), (jnp.arange(steps), times[:-1], table))
    return fixed_cost(x, steps)
