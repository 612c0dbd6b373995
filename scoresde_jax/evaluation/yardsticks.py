"""What a Frechet distance of a small data set means: real images and a Gaussian mixture beside it.

All three distances are from the same training images, in the same features, of sets of equally many
images; of model and mixture there may be several sets, for a narrower interval of the same number.

    real      test images                         as near as a perfect model would come
    mixture   samples of a Gaussian mixture       what needs no network
    model     samples of the model

The features may know the training images: a classifier was trained on them, so that a test image is
a little farther from them than it should be. A model that copies the training set would be nearer
than real images are.
"""

from typing import NamedTuple

import numpy as np

from scoresde_jax.data.mixture import Mixture
from scoresde_jax.evaluation.extractors import Extractor
from scoresde_jax.evaluation.intervals import (
    MIN_SETS,
    Distance,
    bootstrap_distance,
    distance_of_sets,
)
from scoresde_jax.evaluation.moments import Moments


class Yardsticks(NamedTuple):
    """Distances from the reference."""

    model: Distance
    mixture: Distance
    real: Distance


def yardsticks(
    extractor: Extractor,
    reference: Moments,
    test: np.ndarray,
    generated: np.ndarray,
    mixture: Mixture,
    *,
    seed: int,
    resamples: int = 500,
) -> Yardsticks:
    """Distances of a model's samples, a mixture's and test images from the training images.

    Sets have as many images as there are test images, or generated ones if these are fewer. With
    five sets of generated images or more the interval is from their spread, otherwise from
    resampling the first.

    Args:
      reference: of the training images.
      test, generated: (N, H, W, C) uint8 in the levels that the extractor takes.
      mixture: `data.mixture.gaussian_mixture` of the training images.
      seed: of the mixture's samples and of the resamples.
    """
    images = min(len(test), len(generated))
    sets = len(generated) // images

    def distance(found: np.ndarray) -> Distance:
        pool, _ = extractor.all(found)
        if len(pool) // images >= MIN_SETS:
            return distance_of_sets(pool, reference, images=images)
        return bootstrap_distance(pool[:images], reference, seed=seed, resamples=resamples)

    return Yardsticks(
        distance(generated),
        distance(mixture.sample(seed, sets * images)),
        distance(test[:images]),
    )
