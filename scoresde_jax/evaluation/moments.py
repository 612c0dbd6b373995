"""Means and covariances of features that need not be in memory at once, in float64.

    n = n1 + n2,   m = m1 + (n2 / n) (m2 - m1)
    S = S1 + S2 + (n1 n2 / n) (m2 - m1) (m2 - m1)^T                         (Chan et al. 1983)

S is the sum of squared deviations from the mean. Merging is associative up to rounding, so blocks
may come in any order, and each process may hold the sums of its share.
"""

from typing import NamedTuple, Self

import numpy as np


class Moments(NamedTuple):
    """Mean (d,) and unbiased covariance (d, d) of features, float64."""

    mean: np.ndarray
    covariance: np.ndarray
    count: int | None = None  # of examples; None where it is not known


class Sums(NamedTuple):
    """What is kept of the examples seen so far; nothing of it grows with them."""

    count: int
    mean: np.ndarray  # (d,) float64
    scatter: np.ndarray  # (d, d) float64, sum of squared deviations

    def update(self, features: np.ndarray) -> Self:
        """These and a block of (n, d) more, of any float type; n may be 0."""
        if not len(features):
            return self
        block = np.asarray(features, np.float64)
        mean = block.mean(0)
        centred = block - mean
        return self.merge(Sums(len(block), mean, centred.T @ centred))

    def merge(self, other: "Sums") -> Self:
        """The sums of both sets of examples."""
        count = self.count + other.count
        if not count:
            return self
        shift = other.mean - self.mean
        weight = self.count * other.count / count
        return type(self)(
            count,
            self.mean + shift * (other.count / count),
            self.scatter + other.scatter + weight * np.outer(shift, shift),
        )

    def moments(self) -> Moments:
        """Mean and unbiased covariance.

        Raises:
          ValueError: there are fewer than two examples, or one is not finite.
        """
        if self.count < 2:
            raise ValueError(f"a covariance needs two examples or more; got {self.count}.")
        if not np.all(np.isfinite(self.scatter)):
            raise ValueError(
                f"features of {self.count} examples are not all finite; look for NaN in the images "
                "or in the network that made the features."
            )
        return Moments(self.mean, self.scatter / (self.count - 1), self.count)


def no_sums(dims: int) -> Sums:
    """The sums of no examples with `dims` features."""
    return Sums(0, np.zeros(dims), np.zeros((dims, dims)))


def moments(features: np.ndarray) -> Moments:
    """Mean and unbiased covariance of (N, d) features.

    Raises:
      ValueError: there are fewer than two, or one is not finite.
    """
    return no_sums(np.shape(features)[1]).update(features).moments()
