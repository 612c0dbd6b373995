"""What a Frechet distance tends to with more images: FID-infinity (Chong & Forsyth 2020).

    d(N) = d(infinity) + c / N + ...

Distances of subsets of 15 sizes are fitted by a line in 1 / N; where it meets 1 / N = 0 depends on
the number of images no more. What the reference lacks in images stays in it.
"""

from typing import NamedTuple

import numpy as np

from scoresde_jax.evaluation.frechet import frechet_distance
from scoresde_jax.evaluation.moments import Moments, moments


class Extrapolated(NamedTuple):
    """A distance extrapolated to infinitely many images."""

    value: float
    standard_error: float  # of the regression alone
    slope: float  # c of d(N) = d(infinity) + c / N
    counts: tuple[int, ...]
    distances: tuple[float, ...]


def extrapolated_distance(
    features: np.ndarray, reference: Moments, *, seed: int, points: int = 15
) -> Extrapolated:
    """The distance of infinitely many images like these.

    The subsets are of the same images: their distances share most of their error, which the line's
    scatter does not show. The error of the result is at least the regression's, and at least
    `intervals.standard_error` of all images.

    Args:
      features: (N, d); subsets have N / 10 images to N, but never fewer than 2 d.
      points: sizes, evenly spaced.

    Raises:
      ValueError: there are fewer than 4 d images: the law c / N holds for many only.
    """
    count, dims = features.shape
    if count < 4 * dims:
        raise ValueError(
            f"extrapolating a distance in {dims} features takes {4 * dims} images; got {count}."
        )
    rng = np.random.default_rng(seed)
    counts = np.linspace(max(count // 10, 2 * dims), count, points).astype(int)
    found = [
        frechet_distance(moments(features[rng.permutation(count)[:size]]), reference)
        for size in counts
    ]
    design = np.stack([np.ones(points), 1 / counts], axis=1)
    fit, *_ = np.linalg.lstsq(design, found)
    residual = np.sum((found - design @ fit) ** 2) / (points - 2)
    error = np.sqrt(residual * np.linalg.inv(design.T @ design)[0, 0])
    return Extrapolated(
        float(fit[0]), float(error), float(fit[1]), tuple(counts.tolist()), tuple(found)
    )
