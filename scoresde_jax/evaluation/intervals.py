"""How certain a Frechet distance is: of images that were drawn, from a reference taken as known.

The estimate d(N) of N images lies above the d(infinity) of infinitely many, by about c / N: the
fitted moments are noise as well, e, and d is about a square, Q(e, e). The moments of a resample
have that noise twice over, e + e*, so that the bootstrap

    is c / N too high on average        Q(e, e) + Q(e*, e*)
    spreads too widely                  Var Q(e, e*) is not of the estimate; near d = 0 the
                                        variance is three times what it should be

Its percentiles hold d(N) in 0 to 17 % of trials. Both excesses are known from the distance of a
resample from the very images that it resamples, Q(e*, e*), of variance V*: the variance of the
resamples less 2 V* (and no less than V*) is right to first order near 0 and far from it. That
standard deviation is put about the logarithm of the estimate, which is nearer to normal than the
estimate is. Such intervals held d(N) in 93 to 99 % of trials, of 4 to 32 features, 60 to 300
images, normal and not, at d = 0 and far from it (docs/metrics.md).

`distance_of_sets` needs none of this: it looks at how far apart several sets are.
`standard_error` is that of the linearised distance, fit for 2,048 features and 50,000 images.
"""

import math
from typing import NamedTuple

import numpy as np
from scipy import stats

from scoresde_jax.evaluation.frechet import check_dims, distance_to, frechet_distance, root
from scoresde_jax.evaluation.moments import Moments, moments

MAX_DIMS = 256  # two distances in 2,048 features take half a minute, in 64 a few milliseconds
MIN_RESAMPLES = 100  # which know a standard deviation to 7 %
MIN_SETS = 5  # with fewer, Student's t makes the interval useless


class Interval(NamedTuple):
    """An estimate and the ends of its interval."""

    value: float
    low: float
    high: float


class Distance(NamedTuple):
    """A Frechet distance at a number of images, with its interval."""

    interval: Interval  # of the mean of d(N)
    unbiased: Interval | None  # of d(infinity); may be below 0
    images: int  # N
    sets: int  # of N images each
    level: float
    method: str  # of the interval


def bootstrap_distance(
    features: np.ndarray,
    reference: Moments,
    *,
    seed: int,
    resamples: int = 500,
    level: float = 0.95,
) -> Distance:
    """The distance of images from a reference, its interval by resampling the images.

    Args:
      features: (N, d), d at most `MAX_DIMS`.
      reference: taken as it is; that it was estimated is not in the interval.
      level: of the intervals.

    Raises:
      ValueError: there are too many features, too few images or resamples.
    """
    count, dims = features.shape
    if dims > MAX_DIMS:
        raise ValueError(
            f"a bootstrap of {dims} features would take hours; {MAX_DIMS} are the most. Use "
            "standard_error, and extrapolated_distance for the bias."
        )
    if resamples < MIN_RESAMPLES:
        raise ValueError(f"a bootstrap needs {MIN_RESAMPLES} resamples or more; got {resamples}.")
    own = moments(features)
    check_dims(own, reference)
    goals = [(goal, root(goal.covariance)) for goal in (reference, own)]
    value = distance_to(own, *goals[0])
    rng, features = np.random.default_rng(seed), np.asarray(features, np.float64)
    found = np.empty((resamples, 2))  # distance from the reference, and from what is resampled
    for row in found:
        drawn = moments(features[rng.integers(count, size=count)])
        row[:] = [distance_to(drawn, *goal) for goal in goals]
    variance, noise = found.var(axis=0, ddof=1)
    error = math.sqrt(max(variance - 2 * noise, noise))
    bias = float(found[:, 0].mean() - value)
    interval = _about(value, error, level)
    unbiased = Interval(*(end - bias for end in interval))
    return Distance(interval, unbiased, count, 1, level, "bootstrap")


def _about(value: float, error: float, level: float) -> Interval:
    """Normal in the logarithm; in the value itself, if that is not known from 0."""
    reach = float(stats.norm.ppf((1 + level) / 2)) * error
    if error >= value:
        return Interval(value, max(value - reach, 0.0), value + reach)
    return Interval(value, value * math.exp(-reach / value), value * math.exp(reach / value))


def distance_of_sets(
    features: np.ndarray, reference: Moments, *, images: int, level: float = 0.95
) -> Distance:
    """Mean distance of disjoint sets of `images` images each, its interval by their spread.

    Its mean is d(N) of N = images, and is as comparable as that of one set, but better known.

    Args:
      features: (M, d), drawn independently; what is left of them over a whole set is not used.
      level: of Student's interval.

    Raises:
      ValueError: there are fewer than five sets.
    """
    sets = len(features) // images
    if sets < MIN_SETS:
        raise ValueError(
            f"an interval from the spread of sets of {images} images needs {MIN_SETS} of them, "
            f"{MIN_SETS * images} images; got {len(features)}."
        )
    found = [
        frechet_distance(moments(features[i * images : (i + 1) * images]), reference)
        for i in range(sets)
    ]
    mean = float(np.mean(found))
    half = np.std(found, ddof=1) / np.sqrt(sets) * stats.t.ppf((1 + level) / 2, sets - 1)
    interval = Interval(mean, float(mean - half), float(mean + half))
    return Distance(interval, None, images, sets, level, "sets")


def standard_error(features: np.ndarray, reference: Moments) -> float:
    """Standard error of the Frechet distance of (N, d) features, reference taken as known.

    The distance moves with one image x by psi(x) / N to first order,

        psi(x) = 2 (m1 - m2) . (x - m1) + (x - m1)^T (I - T) (x - m1) + constant
        T = C1^(-1/2) (C1^(1/2) C2 C1^(1/2))^(1/2) C1^(-1/2)

    T being the optimal transport map between the two Gaussians; the error is the standard deviation
    of psi over sqrt N. It knows nothing of the bias, and is up to 1.4 times too large near 0.

    Raises:
      ValueError: there are not more images than features: C1 has no inverse.
    """
    count, dims = features.shape
    if count <= dims:
        raise ValueError(
            f"an error of a distance in {dims} features takes more than {dims} images; got {count}."
        )
    own = moments(features)
    check_dims(own, reference)
    factor = root(own.covariance)
    cross = factor.matrix.T @ root(reference.covariance).matrix
    left, values, _ = np.linalg.svd(cross, full_matrices=False)
    inverse = (factor.vectors / factor.scales) @ left
    curvature = np.eye(dims) - (inverse * values) @ inverse.T
    slope = 2 * (own.mean - reference.mean)
    effects = np.empty(count)
    for first in range(0, count, 1000):  # blocks, so that no second copy of the features is needed
        centred = features[first : first + 1000] - own.mean
        effects[first : first + 1000] = centred @ slope + np.sum(
            centred * (centred @ curvature), axis=1
        )
    return float(effects.std(ddof=1) / np.sqrt(count))


def apart(one: Interval, other: Interval) -> bool:
    """Whether two intervals do not overlap."""
    return one.high < other.low or other.high < one.low
