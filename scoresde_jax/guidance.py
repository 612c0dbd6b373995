"""Guidance: scores that are drawn towards a class, or away from a weaker model's mistakes.

    s + w grad_x log p_t(y | x)          `classifier`       (Dhariwal & Nichol 2021; w = 1 is Bayes)
    s_u + w (s_c - s_u)                  `classifier_free`  (Ho & Salimans 2022)
    s_w + w (s - s_w)                    `autoguidance`     (Karras et al. 2024)
    guided between two times             `within`           (Kynkaanniemi et al. 2024)

Each takes score functions and returns one, so samplers and likelihoods need not know. At w = 1 the
first two are the score of the class's own law, and the third is s itself; at w = 0 guidance is off.
Any other w gives what is not the score of a diffusion.

Not here: what a classifier is (`models/`), and how it is trained (`losses.py`).
"""

from collections.abc import Callable

import jax.numpy as jnp

from scoresde_jax.score import guide
from scoresde_jax.types import Array, ScoreFn, bcast

LogProbs = Callable[[Array, Array], Array]  # (x (B, ...), t) -> log p_t(y | x) (B, classes), nats


def classifier(score_fn: ScoreFn, log_probs: LogProbs, labels: Array, *, scale: float) -> ScoreFn:
    """Adds a classifier's gradient: score + scale grad_x log p_t(y | x).

    (Song et al. 2021, eq. 14, where the scale is 1; Dhariwal & Nichol 2021.)

    Args:
      score_fn: the score of all classes together.
      log_probs: each row must depend on its own x only.
      labels: (B,) int32, the class of each example.
      scale: 0 leaves the score as it is, but for the cost; 1 is Bayes' rule.
    """

    def log_p_y(x: Array, t: Array) -> Array:
        return scale * jnp.take_along_axis(log_probs(x, t), labels[:, None], axis=-1)[:, 0]

    return guide(score_fn, log_p_y)


def classifier_free(unconditional: ScoreFn, conditional: ScoreFn, *, scale: float) -> ScoreFn:
    """Goes from the score of all classes towards that of one, or beyond: s_u + scale (s_c - s_u).

    (Ho & Salimans 2022, whose w is scale - 1.) Two evaluations in one.

    Args:
      scale: 0 gives the unconditional score, 1 the conditional one.
    """

    def guided(x: Array, t: Array) -> Array:
        start, end = unconditional(x, t), conditional(x, t)
        # (1 - w) s_u + w s_c: at scale 1 exactly s_c, which s_u + (s_c - s_u) is but for rounding.
        return (1 - scale) * start + scale * end

    return guided


def autoguidance(score_fn: ScoreFn, weaker: ScoreFn, *, scale: float) -> ScoreFn:
    """Goes away from the score of a weaker model of the same data: s_w + scale (s - s_w).

    The formula of `classifier_free`; the weaker model has seen less or is smaller, and knows of the
    same class, if of any (Karras et al. 2024).
    """
    return classifier_free(weaker, score_fn, scale=scale)


def within(interval: tuple[float, float], guided: ScoreFn, otherwise: ScoreFn) -> ScoreFn:
    """Guides where interval[0] <= t <= interval[1] only; elsewhere the score is `otherwise`.

    (Kynkaanniemi et al. 2024, who give the interval in noise levels.) Both are evaluated at every
    t; compiled together they share what they have in common.

    Raises:
      ValueError: the interval is not one of times.
    """
    check_interval(interval)
    low, high = interval

    def limited(x: Array, t: Array) -> Array:
        inside = bcast((low <= t) & (t <= high), x)
        return jnp.where(inside, guided(x, t), otherwise(x, t))

    return limited


def check_interval(interval: tuple[float, ...], where: str = "interval") -> None:
    """Raises ValueError unless these are two times in [0, 1], the smaller first."""
    if len(interval) != 2 or not 0 <= interval[0] <= interval[1] <= 1:
        raise ValueError(
            f"{where} is {tuple(interval)}; expected two times, 0 <= first <= last <= 1, "
            "such as (0.0, 1.0) to guide always."
        )


def class_labels(label: int | None, classes: int, count: int, where: str = "label") -> Array:
    """The class of each of `count` examples, (count,) int32.

    Args:
      label: the class of all; None for every class in turn, 0, 1, ..., 0, 1, ...

    Raises:
      ValueError: there is no such class.
    """
    if label is not None and not 0 <= label < classes:
        raise ValueError(
            f"{where} is {label}; there are {classes} classes, 0 to {classes - 1}; choose one, or "
            "None for every class in turn."
        )
    if label is None:
        return jnp.arange(count, dtype=jnp.int32) % classes
    return jnp.full((count,), label, jnp.int32)
