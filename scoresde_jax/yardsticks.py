"""What a distance of samples is read beside: that of test images, and of a Gaussian mixture's."""

import math
from typing import Any

import numpy as np

from scoresde_jax import build, data, evaluation, shards
from scoresde_jax.data.mixture import gaussian_mixture
from scoresde_jax.evaluation import intervals
from scoresde_jax.evaluation.extractors import Extractor, as_levels
from scoresde_jax.evaluation.frechet_errors import frechet_with_errors

FITTED_TO = 100  # images, of which the largest mixture gets one for each component
MOST_PIXELS = 1024  # numbers in an image; a mixture's covariances then take 0.7 GB


def check(config: build.Config, train_set: data.Dataset, test_set: data.Dataset) -> None:
    """Raises ValueError where config.eval.yardsticks asks for what these data do not allow."""
    images = train_set.images
    pixels = math.prod(images.shape[1:])
    found = [
        said
        for said, true in (
            ("these are continuous", train_set.levels is None),
            (
                "these are not in RAM",
                not all(isinstance(part.images, np.ndarray) for part in (train_set, test_set)),
            ),
            ("these have no two test images", len(test_set.images) < 2),
            (f"there are {len(images)} training images", len(images) < FITTED_TO),
            (f"an image is {pixels} numbers", pixels > MOST_PIXELS),
        )
        if true
    ]
    if config.eval.yardsticks and found:
        raise ValueError(
            f"config.eval.yardsticks fits a Gaussian mixture to {FITTED_TO} or more images in "
            f"levels, of at most {MOST_PIXELS} numbers each, in RAM, and measures test images; "
            f"{' and '.join(found)}. Set it to False."
        )


def distances(
    config: build.Config,
    extractor: Extractor,
    real: evaluation.Moments,
    drawn: shards.Columns,
    train_set: data.Dataset,
    test_set: data.Dataset,
) -> dict[str, dict[str, Any]]:
    """The distance of samples beside two that it should lie between, all of equally many images.

        test images        as near as a perfect model would come
        samples
        gaussian mixture   fitted to the training images: what needs no network

    Of samples and mixture, which can be drawn at will, it is the mean of as many sets as there are
    samples for, and from five sets on the interval is from their spread.

    The features may know the training images, as a classifier that was trained on them does: a test
    image is then a little farther than it should be, and a model that copies would be nearer.
    """
    seed, levels = config.eval.seed, train_set.levels
    assert levels is not None, "see `check`"
    mixture = gaussian_mixture(np.asarray(train_set.images), levels=levels, seed=seed)
    kinds = {
        "samples": as_levels(drawn["images"], levels=256, wanted=extractor.levels),
        "test images": as_levels(
            np.asarray(test_set.images), levels=levels, wanted=extractor.levels
        ),
        "gaussian mixture": as_levels(
            mixture.sample(seed, len(drawn["images"])), levels=levels, wanted=extractor.levels
        ),
    }
    size = min(map(len, kinds.values()))
    found = {}
    for name, images in kinds.items():
        features, sets = extractor.all(images)[0], len(images) // size
        if sets < intervals.MIN_SETS or extractor.dims > intervals.MAX_DIMS:
            found[name] = frechet_with_errors(features[:size], real, seed) | {
                "images": size,
                "sets": 1,
            }
            continue
        spread = intervals.distance_of_sets(features, real, images=size)
        low, high = spread.interval.low, spread.interval.high
        found[name] = {"mean": spread.interval.value, "interval": [low, high], "images": size}
        found[name] |= {"level": spread.level, "method": spread.method, "sets": spread.sets}
    return found
