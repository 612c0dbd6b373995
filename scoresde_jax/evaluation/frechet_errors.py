"""A Frechet distance with all that is known of its error: docs/metrics.md."""

from typing import Any

import numpy as np

from scoresde_jax.evaluation import intervals
from scoresde_jax.evaluation.extrapolation import extrapolated_distance
from scoresde_jax.evaluation.frechet import frechet_distance
from scoresde_jax.evaluation.moments import Moments, moments


def frechet_with_errors(features: np.ndarray, real: Moments, seed: int) -> dict[str, Any]:
    """The distance of features (N, dims) as JSON, with every error that N images allow.

    `interval`, `level`, `method` and `unbiased` up to intervals.MAX_DIMS features;
    `standard_error` with more images than features; `extrapolated`, with 4 times as many.
    """
    count, dims = features.shape
    found: dict[str, Any] = {"mean": frechet_distance(moments(features), real)}
    if dims <= intervals.MAX_DIMS:
        bootstrap = intervals.bootstrap_distance(features, real, seed=seed)
        found["interval"] = [bootstrap.interval.low, bootstrap.interval.high]
        found |= {"level": bootstrap.level, "method": bootstrap.method}
        if bootstrap.unbiased is not None:
            found["unbiased"] = bootstrap.unbiased._asdict()
    if count > dims:
        found["standard_error"] = intervals.standard_error(features, real)
    if count >= 4 * dims:
        line = extrapolated_distance(features, real, seed=seed)
        # The line's own error knows nothing of what its subsets share.
        error = max(line.standard_error, found["standard_error"])
        found["extrapolated"] = {"mean": line.value, "standard_error": error}
    return found
