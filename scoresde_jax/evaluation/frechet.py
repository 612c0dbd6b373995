"""How far apart two sets of images are: the Frechet distance between Gaussians fitted to features.

    d^2 = |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2))          (Dowson & Landau 1982; Heusel 2017)

With C = A A^T, tr (C1 C2)^(1/2) is the sum of the singular values of A1^T A2: the square root of a
singular matrix, whose rounding errors are square roots too, is never taken.

Features are any numbers of an image. In those of the Inception network this is the FID.

Not here: how certain a distance is (`intervals.py`), and what it tends to with more images
(`extrapolation.py`).
"""

from typing import NamedTuple

import numpy as np

from scoresde_jax.evaluation.moments import Moments


class Root(NamedTuple):
    """A factor of a covariance C = A A^T of rank r: A = vectors * scales."""

    vectors: np.ndarray  # (d, r), orthonormal columns
    scales: np.ndarray  # (r,) > 0

    @property
    def matrix(self) -> np.ndarray:
        """A, (d, r)."""
        return self.vectors * self.scales


def root(covariance: np.ndarray) -> Root:
    """The factor of a covariance (d, d); eigenvalues that are rounding errors are 0."""
    values, vectors = np.linalg.eigh(covariance)
    kept = values > len(values) * np.finfo(np.float64).eps * max(values[-1], 0.0)
    return Root(vectors[:, kept], np.sqrt(values[kept]))


def frechet_distance(one: Moments, other: Moments) -> float:
    """The squared distance d^2; 0 for equal moments.

    Raises:
      ValueError: the moments are of unlike numbers of features.
    """
    check_dims(one, other)
    return distance_to(one, other, root(other.covariance))


def distance_to(one: Moments, other: Moments, other_root: Root) -> float:
    """The same, where the root of the other's covariance is known."""
    cross = root(one.covariance).matrix.T @ other_root.matrix
    shared = np.linalg.svd(cross, compute_uv=False).sum()
    shift = np.sum((one.mean - other.mean) ** 2)
    return float(shift + np.trace(one.covariance) + np.trace(other.covariance) - 2 * shared)


def check_dims(one: Moments, other: Moments) -> None:
    """Raises ValueError unless both are of as many features."""
    if len(one.mean) != len(other.mean):
        raise ValueError(
            f"moments of {len(one.mean)} and of {len(other.mean)} features have no distance; make "
            "both with one extractor."
        )
