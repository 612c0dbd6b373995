"""How far apart two sets of images are: the Frechet distance between Gaussians fitted to features.

    d^2 = |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2))          (Dowson & Landau 1982; Heusel 2017)

Features are any numbers of an image; `principal_components` are those of its pixels, for images so
small that networks trained on photographs see nothing in them.
"""

from typing import NamedTuple

import numpy as np


class Moments(NamedTuple):
    """Mean (d,) and covariance (d, d) of features, float64."""

    mean: np.ndarray
    covariance: np.ndarray


class Projection(NamedTuple):
    """An affine map of images to features."""

    mean: np.ndarray  # (dims,)
    axes: np.ndarray  # (dims, d), orthonormal columns

    def features(self, images: np.ndarray) -> np.ndarray:
        """(N, ...) images to (N, d)."""
        return (np.asarray(images, np.float64).reshape(len(images), -1) - self.mean) @ self.axes


def principal_components(images: np.ndarray, count: int) -> Projection:
    """The `count` directions in which images (N, ...) vary most, or as many as there are."""
    flat = np.asarray(images, np.float64).reshape(len(images), -1)
    mean = flat.mean(0)
    axes = np.linalg.svd(flat - mean, full_matrices=False)[2]
    return Projection(mean, axes[:count].T)


def moments(features: np.ndarray) -> Moments:
    """Mean and unbiased covariance of (N, d) features.

    Raises:
      ValueError: there are fewer than two.
    """
    if len(features) < 2:
        raise ValueError(f"a covariance needs two examples or more; got {len(features)}.")
    features = np.asarray(features, np.float64)
    return Moments(features.mean(0), np.atleast_2d(np.cov(features, rowvar=False)))


def frechet_distance(one: Moments, other: Moments) -> float:
    """The squared distance d^2; 0 for equal moments."""
    values, vectors = np.linalg.eigh(one.covariance)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    # (C1 C2)^(1/2) has the trace of (C1^(1/2) C2 C1^(1/2))^(1/2), which is symmetric.
    product = np.linalg.eigvalsh(root @ other.covariance @ root)
    cross = np.sqrt(np.maximum(product, 0)).sum()
    shift = np.sum((one.mean - other.mean) ** 2)
    return float(shift + np.trace(one.covariance) + np.trace(other.covariance) - 2 * cross)
