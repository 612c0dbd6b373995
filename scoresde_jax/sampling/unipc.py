"""UniPC: a multistep method that corrects each step with the evaluation of the next one.

    predict    x~_{i+1} from x_i and D_i, D_{i-1}, ...
    evaluate   D_{i+1} at x~_{i+1}, t_{i+1}
    correct    x_{i+1} from x_i and D_{i+1}, D_i, D_{i-1}, ...             (Zhao et al. 2023)

The correction costs no evaluation: the next step needs D_{i+1} anyway, and it is not evaluated
again after the correction.
"""

import jax
import jax.numpy as jnp

from scoresde_jax.sampling.change import alpha_std, denoised
from scoresde_jax.sampling.fixed import fixed_cost
from scoresde_jax.sampling.weights import (
    History,
    Steps,
    exact_weights,
    explicit_steps,
    implicit_steps,
    middle_weights,
)
from scoresde_jax.sde import SDE
from scoresde_jax.types import Array, Samples, ScoreFn

Row = tuple[Array, Array]  # what multiplies x (), and the predictions (k,); or of all steps


def unipc(
    key: Array,
    sde: SDE,
    score_fn: ScoreFn,
    x: Array,
    times: Array,
    *,
    order: int,
    history: History = (),
) -> Samples:
    """UniPC on x0-predictions with B(h) = e^h - 1 ("bh2"), its predictor of the given order.

    The corrector is of one order more, and so is the method: UniPC-p is of order p + 1. The last
    point is not corrected, as that would take one more evaluation.

    Args:
      order: 2 or 3, of the predictor.
      history: (t, x0) of predictions made before times[0], newest first. Without them the first
        steps are of lower order, and the method is of order 3 at most.

    Returns:
      Samples with nfe = 1 a step.
    """
    del key
    rows = (times[:-1], *_tables(sde, times, order, history))
    given = [x0 for _, x0 in history[: order - 1]]
    past = (*given, *[jnp.zeros_like(x)] * (order - len(given)))

    def combine(x: Array, row: Row, predictions: tuple[Array, ...]) -> Array:
        keep, weights = row
        return keep * x + sum(w * x0 for w, x0 in zip(weights, predictions, strict=True))

    def step(
        state: tuple[Array, Array, tuple[Array, ...]], row: tuple[Array, Row, Row]
    ) -> tuple[tuple[Array, Array, tuple[Array, ...]], None]:
        (before, predicted, past), (t, predict, correct) = state, row
        predictions = (denoised(sde, score_fn, predicted, t), *past)
        x = combine(before, correct, predictions)
        newest = predictions[:order]
        return (x, combine(x, predict, newest), newest), None

    (_, x, _), _ = jax.lax.scan(step, (x, x, past), rows)
    return fixed_cost(x, len(times) - 1)


def _tables(sde: SDE, times: Array, order: int, history: History) -> tuple[Row, Row]:
    """For each step the numbers that predict its end, and those that correct its start."""
    alpha, std = alpha_std(sde, times)
    keep = std[1:] / std[:-1]
    predict = _predictor_weights(explicit_steps(sde, times, history, order))
    correct = _corrector_weights(implicit_steps(sde, times, history, order + 1))
    predict, correct = alpha[1:, None] * predict, alpha[1:, None] * correct
    # The first point is given: its "correction" keeps the x before the loop.
    given = jnp.ones_like(keep[:1]), jnp.zeros_like(correct[:1])
    corrections = (
        jnp.concatenate([given[0], keep[:-1]]),
        jnp.concatenate([given[1], correct[:-1]]),
    )
    return (keep, predict), corrections


def _predictor_weights(steps: Steps) -> Array:
    """Of UniP: the middle of a line for order 2, as the paper has it, or the exact integral."""
    if steps.nodes.shape[1] == 2:
        return middle_weights(steps, -jnp.expm1(steps.start - steps.end))
    return exact_weights(steps)


def _corrector_weights(steps: Steps) -> Array:
    """Of UniC: the exact integral; where it has two predictions, their mean for all of the step."""
    mean = -0.5 * jnp.expm1(steps.start - steps.end)
    halves = jnp.stack([mean, mean] + [jnp.zeros_like(mean)] * (steps.nodes.shape[1] - 2), axis=1)
    return jnp.where(steps.known[:, 2:3], exact_weights(steps), halves)
