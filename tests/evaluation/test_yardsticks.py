"""On digits: copies are nearer than real images, and a mixture is farther than both."""

import functools

import numpy as np
import pytest

from scoresde_jax import data
from scoresde_jax.data.mixture import gaussian_mixture
from scoresde_jax.evaluation import moments, principal_components
from scoresde_jax.evaluation.extractors import component_extractor
from scoresde_jax.evaluation.intervals import apart
from scoresde_jax.evaluation.yardsticks import yardsticks

TRAIN = np.asarray(data.load("digits", "train").images)
TEST = np.asarray(data.load("digits", "test").images)
EXTRACTOR = component_extractor(principal_components(TRAIN, 16), levels=17)
REFERENCE = moments(EXTRACTOR.all(TRAIN)[0])


@functools.cache
def mixture():
    """A weak one; that `gaussian_mixture` chooses well is tested with it."""
    return gaussian_mixture(TRAIN, levels=17, seed=0, candidates=(("full", 3),))


@pytest.mark.parametrize("sets", [1, 5])
def test_a_perfect_model_beats_the_mixture(sets):
    """A model that draws training images at random: nothing could be nearer."""
    rows = np.random.default_rng(0).permutation(len(TRAIN))[: sets * 200]
    found = yardsticks(
        EXTRACTOR, REFERENCE, TEST[:200], TRAIN[rows], mixture(), seed=0, resamples=100
    )
    assert found.model.interval.value < found.real.interval.value
    assert found.model.interval.value < found.mixture.interval.value
    assert {d.images for d in (found.model, found.mixture, found.real)} == {200}
    assert [d.sets for d in (found.model, found.mixture, found.real)] == [sets, sets, 1]
    assert found.model.method == found.mixture.method == ("sets" if sets > 1 else "bootstrap")
    assert apart(found.model.interval, found.mixture.interval)


def test_noise_is_farther_than_the_mixture():
    noise = np.random.default_rng(0).integers(0, 17, (100, 8, 8, 1), dtype=np.uint8)
    found = yardsticks(EXTRACTOR, REFERENCE, TEST, noise, mixture(), seed=0, resamples=100)
    assert found.real.images == 100
    assert apart(found.model.interval, found.mixture.interval)
    assert found.model.interval.low > found.mixture.interval.high
