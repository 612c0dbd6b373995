"""How often 95 % intervals of a Frechet distance hold the mean of d(N): docs/metrics.md.

    python -m benchmarks.intervals --trials 300

Features are drawn anew for each trial, from laws whose distance from the reference, standard
normal, is known: d(infinity). The mean of d(N) is that of 10 times as many draws, and c / N, the
bias of few images, is what it has over d(infinity). Beside ours are percentiles of resamples as
they are, which is what a bootstrap is elsewhere.
"""

import argparse
import sys
from typing import NamedTuple

import numpy as np

from scoresde_jax.evaluation import Moments, frechet_distance, moments
from scoresde_jax.evaluation.intervals import MIN_RESAMPLES, bootstrap_distance


class Case(NamedTuple):
    """Features of mean `shift` and standard deviation `stretch`."""

    dims: int
    images: int
    stretch: float = 1.0
    shift: float = 0.0
    law: str = "normal"

    def draw(self, *seed: int) -> np.ndarray:
        """Features (images, dims)."""
        rng, shape = np.random.default_rng(seed), (self.images, self.dims)
        noise = rng.normal(size=shape) if self.law == "normal" else rng.exponential(size=shape) - 1
        return self.stretch * noise + self.shift

    @property
    def distance(self) -> float:
        """d(infinity) from the reference."""
        return self.dims * (self.shift**2 + (self.stretch - 1) ** 2)


CASES = (
    Case(4, 60),
    Case(4, 60, 1.4),
    Case(4, 300, 1.4),
    Case(8, 300, 1.1),
    Case(16, 300, 1.05, 0.05),
    Case(32, 300, 1.05, 0.05, "exponential"),
)


def main(argv: list[str] | None = None) -> int:
    """Prints a row for each case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--trials", type=int, default=300)
    parser.add_argument("--resamples", type=int, default=5 * MIN_RESAMPLES)
    arguments = parser.parse_args(argv)
    print("| features | images | d(infinity) over c / N | held | by percentiles |")
    print("| --- | --- | --- | --- | --- |")
    for case in CASES:
        ratio, held, plain = covered(case, arguments.trials, arguments.resamples)
        law = f"{case.dims}, {case.law}, mean {case.shift:g}, standard deviation {case.stretch:g}"
        print(f"| {law} | {case.images} | {ratio:.1f} | {held:.2f} | {plain:.2f} |", flush=True)
    return 0


def covered(case: Case, trials: int, resamples: int) -> tuple[float, float, float]:
    """d(infinity) over c / N, and the shares that hold the mean of d(N): ours, and percentiles'."""
    reference = Moments(np.zeros(case.dims), np.eye(case.dims))
    draws = (case.draw(1, i) for i in range(10 * trials))
    mean = np.mean([frechet_distance(moments(features), reference) for features in draws])
    held = plain = 0
    for i in range(trials):
        features = case.draw(0, i)
        found = bootstrap_distance(features, reference, seed=i, resamples=resamples)
        held += found.interval.low <= mean <= found.interval.high
        low, high = percentiles(features, reference, i)
        plain += low <= mean <= high
    return float(case.distance / (mean - case.distance)), held / trials, plain / trials


def percentiles(features: np.ndarray, reference: Moments, seed: int) -> tuple[float, float]:
    """The middle 95 % of distances of resampled images."""
    rng, count = np.random.default_rng(seed), len(features)
    chosen = rng.integers(count, size=(MIN_RESAMPLES, count))
    values = [frechet_distance(moments(features[rows]), reference) for rows in chosen]
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)


if __name__ == "__main__":
    sys.exit(main())
