"""Distances of digits: copies are nearer than real images, and a weak mixture is farther."""

import numpy as np
import pytest
from ml_collections import ConfigDict

from scoresde_jax import data, yardsticks
from scoresde_jax.data.mixture import gaussian_mixture
from scoresde_jax.evaluation import intervals, moments, principal_components
from scoresde_jax.evaluation.extractors import component_extractor
from scoresde_jax.evaluation.frechet_errors import frechet_with_errors

TRAIN = np.asarray(data.load("digits", "train").images)
TEST = np.asarray(data.load("digits", "test").images)
EXTRACTOR = component_extractor(principal_components(TRAIN, 16), levels=17)


def test_a_perfect_model_lies_below_the_yardsticks():
    """A model that draws training images at random: nothing could be nearer."""
    real = moments(EXTRACTOR.all(TRAIN)[0])
    weak = gaussian_mixture(TRAIN, levels=17, seed=0, candidates=(("full", 3),))
    kinds = {
        "model": TRAIN[np.random.default_rng(0).permutation(len(TRAIN))[:200]],
        "test": TEST[:200],
        "mixture": weak.sample(0, 200),
        "noise": np.random.default_rng(0).integers(0, 17, (200, 8, 8, 1), dtype=np.uint8),
    }
    found = {
        name: frechet_with_errors(EXTRACTOR.all(images)[0], real, 0)
        for name, images in kinds.items()
    }
    values = [distance["mean"] for distance in found.values()]
    assert values == sorted(values)
    assert found["model"]["interval"][1] < found["mixture"]["interval"][0]
    assert found["mixture"]["interval"][1] < found["noise"]["interval"][0]


def test_yardsticks_are_of_equally_many_images(monkeypatch):
    """Five sets of what can be drawn, whose interval is narrower, beside the one test set."""
    weak = gaussian_mixture(TRAIN, levels=17, seed=0, candidates=(("full", 3),))
    fitted = []

    def fit(images, **settings):
        fitted.append((images, settings))
        return weak

    monkeypatch.setattr(yardsticks, "gaussian_mixture", fit)
    sets = data.load("digits", "train"), data.load("digits", "test")
    real, config = moments(EXTRACTOR.all(TRAIN)[0]), ConfigDict({"eval": {"seed": 1}})
    pixels = np.round(TRAIN[: 5 * len(TEST)] * (255 / 16)).astype(np.uint8)
    found = yardsticks.distances(config, EXTRACTOR, real, {"images": pixels}, *sets)
    assert {yard["images"] for yard in found.values()} == {len(TEST)}
    assert [yard["sets"] for yard in found.values()] == [5, 1, 5]
    means = [found[name]["mean"] for name in ("samples", "test images", "gaussian mixture")]
    assert means == sorted(means)
    assert found["samples"]["interval"][1] < found["gaussian mixture"]["interval"][0]

    ((images, settings),) = fitted
    np.testing.assert_array_equal(images, TRAIN)
    assert settings == {"levels": 17, "seed": 1}
    direct = frechet_with_errors(EXTRACTOR.all(TEST)[0], real, 1)
    for name in ("mean", "interval"):  # of the same features, by the same resamples
        assert found["test images"][name] == pytest.approx(direct[name], rel=1e-6)
    for name, several in (
        ("samples", TRAIN[: 5 * len(TEST)]),
        ("gaussian mixture", weak.sample(1, 5 * len(TEST))),
    ):
        spread = intervals.distance_of_sets(EXTRACTOR.all(several)[0], real, images=len(TEST))
        assert found[name]["mean"] == pytest.approx(spread.interval.value, rel=1e-6)


def test_a_mixture_is_of_its_seed():
    first, again, other = (
        gaussian_mixture(TRAIN[:200], levels=17, seed=seed, candidates=(("diag", 2),)).means
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_yardsticks_are_refused_where_they_cannot_be():
    asked = ConfigDict({"eval": {"yardsticks": True}})
    one, whole = data.load("digits", "train"), data.load("digits", "test")
    yardsticks.check(asked, one, whole)
    large = np.zeros((100, 33, 32, 1), np.uint8)
    for train_set, test_set, message in (
        (one._replace(levels=None), whole, "these are continuous"),
        (one._replace(images=memoryview(one.images)), whole, "these are not in RAM"),
        (one._replace(images=one.images[:99]), whole, "there are 99 training images"),
        (one._replace(images=large), whole, "an image is 1056 numbers"),
        (one, whole._replace(images=whole.images[:1]), "no two test images"),
    ):
        with pytest.raises(ValueError, match=f"config.eval.yardsticks.*{message}"):
            yardsticks.check(asked, train_set, test_set)
        yardsticks.check(ConfigDict({"eval": {"yardsticks": False}}), train_set, test_set)
