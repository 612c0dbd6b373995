"""The kernel distance (KID): a maximum mean discrepancy that is right on average for any count.

    k(x, y) = (x . y / d + 1)^3
    MMD^2 = mean_{i != j} k(x_i, x_j) + mean_{i != j} k(y_i, y_j) - 2 mean_{ij} k(x_i, y_j)

(Binkowski et al. 2018, section 4; Gretton et al. 2012, lemma 6.) It is 0 on average for equal
distributions, and may be negative.
"""

from typing import NamedTuple

import numpy as np

SUBSET = 1000  # images; what is published was computed on subsets of as many


class KernelDistance(NamedTuple):
    """Mean over subsets, and its standard error."""

    mean: float
    standard_error: float
    subsets: int
    size: int  # images in a subset


def kernel_distance(
    one: np.ndarray, other: np.ndarray, *, seed: int, size: int = SUBSET
) -> KernelDistance:
    """KID of features (N, d) and (M, d).

    Subsets share no image, so that they are independent and their spread is an honest standard
    error. What is published drew 100 subsets that overlap: the mean is of the same number, the
    spread is not.

    Args:
      seed: of the order of images; paths and classes are often in order.
      size: images in a subset; fewer where there would be less than ten subsets.

    Raises:
      ValueError: unlike numbers of features, or fewer than four images.
    """
    if one.shape[1] != other.shape[1]:
        raise ValueError(
            f"a kernel distance needs features of one extractor; got {one.shape[1]} and "
            f"{other.shape[1]} of them."
        )
    fewest = min(len(one), len(other))
    size = max(min(size, fewest // 10), 2)
    subsets = fewest // size
    if subsets < 2:
        raise ValueError(f"a kernel distance with an error needs four images; got {fewest}.")
    rng = np.random.default_rng(seed)
    rows = [rng.permutation(len(x))[: subsets * size].reshape(subsets, size) for x in (one, other)]
    found = [mmd2(one[a], other[b]) for a, b in zip(*rows, strict=True)]
    return KernelDistance(
        float(np.mean(found)), float(np.std(found, ddof=1) / np.sqrt(subsets)), subsets, size
    )


def mmd2(one: np.ndarray, other: np.ndarray) -> float:
    """The unbiased estimate of MMD^2 from features (N, d) and (M, d), N and M at least 2."""
    one, other = np.asarray(one, np.float64), np.asarray(other, np.float64)
    return _within(one) + _within(other) - 2 * float(_kernel(one, other).mean())


def _within(x: np.ndarray) -> float:
    """Mean of the kernel over pairs of two."""
    kernel, count = _kernel(x, x), len(x)
    return float((kernel.sum() - np.trace(kernel)) / (count * (count - 1)))


def _kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return (x @ y.T / x.shape[1] + 1) ** 3
