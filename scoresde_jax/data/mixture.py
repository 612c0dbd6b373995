"""A Gaussian mixture of images: the yardstick that a network has to beat.

It is fitted to levels with noise over the width of a level, and what is drawn from it is rounded
down and clipped to levels. How many components, and of which kind, is decided by the likelihood of
images that were held out: with one component for every few images it would be no model but a copy
of the training set, and nearer to that than any test set.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

# Covariances and components; those of digits that come nearest to the best, and both their sides.
CANDIDATES = (("full", 5), ("full", 10), ("full", 20), ("diag", 20), ("diag", 40), ("diag", 80))
HELD_OUT = 0.2  # share of the images that candidates are compared on
NOISE = 1 / 12  # variance within a level, which no component can be without


class Mixture(NamedTuple):
    """A fitted mixture of K Gaussians over images of `dims` numbers."""

    weights: np.ndarray  # (K,)
    means: np.ndarray  # (K, dims)
    factors: np.ndarray  # (K, dims, dims), Cholesky
    kind: str  # of the covariances: "full" or "diag"
    levels: int
    shape: tuple[int, ...]  # (H, W, C)

    def sample(self, seed: int, count: int) -> np.ndarray:
        """Draws images (count, H, W, C), uint8 levels."""
        rng = np.random.default_rng(seed)
        chosen = rng.choice(len(self.weights), count, p=self.weights)
        noise = rng.standard_normal((count, self.means.shape[1]))
        y = self.means[chosen] + np.einsum("nij,nj->ni", self.factors[chosen], noise)
        return np.clip(np.floor(y), 0, self.levels - 1).astype(np.uint8).reshape(count, *self.shape)


def gaussian_mixture(
    images: np.ndarray,
    *,
    levels: int,
    seed: int,
    candidates: Sequence[tuple[str, int]] = CANDIDATES,
) -> Mixture:
    """Fits the candidate that is likeliest on images held out, to all of them.

    Args:
      images: (N, H, W, C) uint8 levels.
      seed: of the noise, of what is held out, and of the starts of the fits.
      candidates: of covariances, "full" or "diag", and components.
    """
    rng = np.random.default_rng(seed)
    flat = images.reshape(len(images), -1) + rng.random((len(images), images[0].size))
    flat = flat[rng.permutation(len(flat))]
    held_out = round(len(flat) * HELD_OUT)
    if len(candidates) > 1:
        tried = [_fitted(flat[held_out:], *candidate, seed) for candidate in candidates]
        best = int(np.argmax([fitted.score(flat[:held_out]) for fitted in tried]))
        candidates = candidates[best : best + 1]
    ((kind, _),) = candidates
    fitted = _fitted(flat, *candidates[0], seed)
    covariances = np.asarray(fitted.covariances_)
    if kind == "diag":
        covariances = covariances[:, :, None] * np.eye(flat.shape[1])
    weights = np.asarray(fitted.weights_)
    return Mixture(
        weights / weights.sum(),
        np.asarray(fitted.means_),
        np.linalg.cholesky(covariances),
        kind,
        levels,
        images.shape[1:],
    )


def _fitted(flat: np.ndarray, kind: str, components: int, seed: int) -> Any:
    """By expectation-maximisation."""
    from sklearn.mixture import GaussianMixture

    options = {"covariance_type": kind, "reg_covar": NOISE, "max_iter": 500, "random_state": seed}
    return GaussianMixture(components, **options).fit(flat)
