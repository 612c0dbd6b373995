"""Every distance that features allow, with its error and its provenance, as JSON."""

from typing import Any

import numpy as np

from scoresde_jax.evaluation.extrapolation import extrapolated_distance
from scoresde_jax.evaluation.frechet import frechet_distance
from scoresde_jax.evaluation.inception_score import inception_score
from scoresde_jax.evaluation.intervals import MAX_DIMS, bootstrap_distance, standard_error
from scoresde_jax.evaluation.kernel import kernel_distance
from scoresde_jax.evaluation.moments import moments
from scoresde_jax.evaluation.neighbours import precision_recall
from scoresde_jax.evaluation.provenance import Provenance, check_same_features
from scoresde_jax.evaluation.statistics_files import Statistics

NORMAL = 1.959964  # standard errors to either side of a 95 % interval


def quality(
    pool: np.ndarray,
    logits: np.ndarray | None,
    reference: Statistics,
    provenance: Provenance,
    *,
    seed: int,
) -> dict[str, Any]:
    """Numbers of generated images; None for those that cannot be had.

    Args:
      pool: (N, d) features of generated images.
      logits: (N, classes), for the Inception Score.
      reference: what they are compared with; KID, precision and recall need its features.
      provenance: of the generated images.

    Raises:
      ValueError: the reference was made with another extractor, or of other features.
    """
    if reference.provenance is not None:
        check_same_features(provenance, reference.provenance)
    found: dict[str, Any] = {"frechet_distance": _frechet(pool, reference, seed)}
    found |= {"kernel_distance": None, "precision": None, "recall": None, "inception_score": None}
    if reference.features is not None:
        found["kernel_distance"] = kernel_distance(pool, reference.features, seed=seed)._asdict()
        both = precision_recall(reference.features, pool)
        found["precision"], found["recall"] = both.precision._asdict(), both.recall._asdict()
    if logits is not None:
        found["inception_score"] = inception_score(logits)._asdict()
    return found | {"provenance": provenance.to_json()}


def _frechet(pool: np.ndarray, reference: Statistics, seed: int) -> dict[str, Any]:
    """Distance at N images and, if there are enough, at infinitely many, with 95 % intervals."""
    count, dims = pool.shape
    goal = reference.moments
    found: dict[str, Any] = {"images": count, "features": dims, "level": 0.95}
    if dims <= MAX_DIMS:
        distance = bootstrap_distance(pool, goal, seed=seed)
        unbiased = None if distance.unbiased is None else distance.unbiased._asdict()
        more = {"unbiased": unbiased, "method": distance.method}
        return found | distance.interval._asdict() | more
    value = frechet_distance(moments(pool), goal)
    found |= {"value": value, "low": None, "high": None, "unbiased": None, "method": None}
    if count > dims:
        error = standard_error(pool, goal)
        found |= {"low": value - NORMAL * error, "high": value + NORMAL * error}
        found["method"] = "linearised"
        if count >= 4 * dims:
            line = extrapolated_distance(pool, goal, seed=seed)
            error = max(error, line.standard_error)
            found["unbiased"] = {
                "value": line.value,
                "low": line.value - NORMAL * error,
                "high": line.value + NORMAL * error,
                "regression_standard_error": line.standard_error,
            }
    return found
