"""Improved precision and recall: how many of the one lie where the others do (Kynkaanniemi 2019).

The region of a set is the union of balls about its points, each as wide as the way to the point's
k-th nearest neighbour in the set.

    precision = share of generated images in the region of the real ones
    recall    = share of real images in the region of the generated ones

Distances are computed a block by a block at a time: beside the features, memory is bounded.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np


class Share(NamedTuple):
    """A share of images in a region, and its standard error with the region as it is."""

    value: float
    standard_error: float


class PrecisionRecall(NamedTuple):
    """Both, with the k they were computed with."""

    precision: Share
    recall: Share
    k: int


def precision_recall(
    real: np.ndarray, generated: np.ndarray, *, k: int = 3, block: int = 1000
) -> PrecisionRecall:
    """Precision and recall of features (N, d), (M, d).

    Both depend on k and on the numbers of images: a region grows with the images it is made of.
    Published ones are of k = 3 and 50,000 images of each.

    Raises:
      ValueError: unlike numbers of features, or k or fewer images.
    """
    if real.shape[1] != generated.shape[1]:
        raise ValueError(
            f"precision and recall need features of one extractor; got {real.shape[1]} and "
            f"{generated.shape[1]} of them."
        )
    if min(len(real), len(generated)) <= k:
        raise ValueError(
            f"neighbour number {k} needs more than {k} images of each kind; got {len(real)} real "
            f"and {len(generated)} generated ones."
        )
    # About a common centre: differences of large numbers lose digits.
    sets = _Centred(real, centre := real.mean(0, dtype=np.float64)), _Centred(generated, centre)
    return PrecisionRecall(
        _share(_inside(sets[1], sets[0], _radii(sets[0], k, block), block)),
        _share(_inside(sets[0], sets[1], _radii(sets[1], k, block), block)),
        k,
    )


class _Centred(NamedTuple):
    """Features of any type; blocks of them are centred, and of float64."""

    features: np.ndarray  # (N, d)
    centre: np.ndarray  # (d,)

    def blocks(self, size: int) -> Iterator[tuple[int, np.ndarray]]:
        """First row, and the block."""
        for first in range(0, len(self.features), size):
            yield first, self.features[first : first + size] - self.centre


def _share(inside: np.ndarray) -> Share:
    value = float(inside.mean())
    return Share(value, math.sqrt(value * (1 - value) / len(inside)))


def _radii(points: _Centred, k: int, size: int) -> np.ndarray:
    """Squared distance of each point to its k-th nearest other one, (N,)."""
    found = []
    for first, part in points.blocks(size):
        nearest = np.full((len(part), k), np.inf)
        for other, column in points.blocks(size):
            squared = _squared_distances(part, column)
            if other == first:
                np.fill_diagonal(squared, np.inf)  # not to itself
            nearest = np.partition(np.hstack([nearest, squared]), k - 1, axis=1)[:, :k]
        found.append(nearest[:, k - 1])
    return np.concatenate(found)


def _inside(points: _Centred, centres: _Centred, radii: np.ndarray, size: int) -> np.ndarray:
    """Whether each point lies in a ball; (N,) bool."""
    found = []
    for _, part in points.blocks(size):
        inside = np.zeros(len(part), bool)
        for first, column in centres.blocks(size):
            reach = radii[first : first + len(column)]
            inside |= np.any(_squared_distances(part, column) <= reach, axis=1)
        found.append(inside)
    return np.concatenate(found)


def _squared_distances(points: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(N, M), of (N, d) and (M, d)."""
    lengths = np.sum(points**2, axis=1)[:, None] + np.sum(others**2, axis=1)
    return np.maximum(lengths - 2 * points @ others.T, 0)
