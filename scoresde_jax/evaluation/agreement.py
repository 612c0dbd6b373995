"""Whether two encoders give an image one code: distance, correlation, and which code is nearest.

Given the data and the SDE, the probability flow is one map, with nothing in it to be learned: two
networks that know the score encode alike, whatever they are made of (Song et al. 2021, section 4.3,
"uniquely identifiable encoding", and appendix D.5, whose differences and correlations by dimension
these are). Codes that have nothing to do with each other are what `np.roll(codes, 1, axis=0)` has
to do with `codes`: white ones are sqrt(2) apart. All in float64.
"""

from typing import NamedTuple

import numpy as np


class Agreement(NamedTuple):
    """How alike two sets of codes of the same images are."""

    distance: float  # root mean square of the difference, over images and dimensions
    correlation: np.ndarray  # (dims,) over images; 0 where a dimension does not vary
    matched: float  # part of the second's codes that are nearest to the first's of the same image


def agreement(first: np.ndarray, second: np.ndarray) -> Agreement:
    """Compares codes of the same images, (N, ...) each.

    Raises:
      ValueError: their shapes differ, there are less than two, or one is not finite.
    """
    if np.shape(first) != np.shape(second) or len(first) < 2:
        raise ValueError(
            "Two or more codes are compared with those of the same images; their shapes are "
            f"{np.shape(first)} and {np.shape(second)}."
        )
    a, b = (np.asarray(part, np.float64).reshape(len(part), -1) for part in (first, second))
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("Codes are compared that are not finite: leave those images out.")
    distance = np.sqrt(np.mean((a - b) ** 2))
    u, v = a - a.mean(axis=0), b - b.mean(axis=0)
    spread = np.sqrt(np.sum(u**2, axis=0) * np.sum(v**2, axis=0))
    correlation = np.sum(u * v, axis=0) / np.where(spread > 0, spread, 1.0)
    # |b_i - a_j|^2 without |b_i|^2, which is the same for all j.
    nearest = np.argmin(np.sum(a**2, axis=1) - 2 * b @ a.T, axis=1)
    return Agreement(float(distance), correlation, float(np.mean(nearest == np.arange(len(a)))))
