"""Principal components as features: for images so small that networks see nothing in them."""

from typing import NamedTuple

import numpy as np


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
