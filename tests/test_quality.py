"""Distances of digits: copies are nearer than real images, and a weak mixture is farther."""

import types

import commands
import numpy as np
import pytest
from ml_collections import ConfigDict

from scoresde_jax import data, quality
from scoresde_jax.data.mixture import gaussian_mixture
from scoresde_jax.evaluation import Moments, intervals, moments, principal_components
from scoresde_jax.evaluation.extractors import component_extractor

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
        name: quality.frechet(EXTRACTOR.all(images)[0], real, 0) for name, images in kinds.items()
    }
    values = [distance["mean"] for distance in found.values()]
    assert values == sorted(values)
    assert found["model"]["interval"][1] < found["mixture"]["interval"][0]
    assert found["mixture"]["interval"][1] < found["noise"]["interval"][0]


def test_yardsticks_are_of_equally_many_images(monkeypatch):
    """Five sets of what can be drawn, whose interval is narrower, beside the one test set."""
    weak = gaussian_mixture(TRAIN, levels=17, seed=0, candidates=(("full", 3),))
    monkeypatch.setattr(quality, "gaussian_mixture", lambda *_, **__: weak)
    sets = data.load("digits", "train"), data.load("digits", "test")
    real, config = moments(EXTRACTOR.all(TRAIN)[0]), ConfigDict({"eval": {"seed": 1}})
    pixels = np.round(TRAIN[: 5 * len(TEST)] * (255 / 16)).astype(np.uint8)
    found = quality.yardsticks(config, EXTRACTOR, real, {"images": pixels}, *sets)
    assert {yard["images"] for yard in found.values()} == {len(TEST)}
    assert [yard["sets"] for yard in found.values()] == [5, 1, 5]
    means = [found[name]["mean"] for name in ("samples", "test images", "gaussian mixture")]
    assert means == sorted(means)
    assert found["samples"]["interval"][1] < found["gaussian mixture"]["interval"][0]


def test_the_error_of_an_extrapolated_distance_is_its_spread(monkeypatch):
    """Far from 0; the line's own error is half of it."""
    monkeypatch.setattr(intervals, "MAX_DIMS", 0)  # no bootstrap
    real = Moments(np.zeros(4), np.eye(4))
    draws = [np.random.default_rng(i).normal(1, 1.4, size=(200, 4)) for i in range(100)]
    found = [quality.frechet(features, real, i) for i, features in enumerate(draws)]
    values, errors = (
        [one["extrapolated"][name] for one in found] for name in ("mean", "standard_error")
    )
    # 100 repetitions know their spread to 7 %.
    np.testing.assert_allclose(np.mean(errors), np.std(values), rtol=0.25)
    assert all(one["extrapolated"]["standard_error"] >= one["standard_error"] for one in found)
    origin = {"extractor": "x", "images": 200}
    (said,) = quality.lines({"provenance": origin, "frechet_distance": found[0]})
    assert f"of infinitely many images {values[0]:.3f} +- {errors[0]:.3f}" in said


def test_statistics_keep_so_many_features_and_say_whose(monkeypatch):
    monkeypatch.setattr(quality, "FEATURES_KEPT", 300)  # a block is 256 images
    found = quality.statistics(data.load("digits", "train"), "train", EXTRACTOR)
    assert found.features is not None and found.provenance is not None
    assert found.moments.count == 1500 and found.features.shape == (300, 16)
    assert found.provenance.source == "digits/train 8x8x1"


def test_samples_are_kept_when_only_what_they_do_not_depend_on_changes():
    def work(**settings):
        config = commands.tiny_config("subvp", **settings)
        return quality.work(config, 2, types.SimpleNamespace(size=1), ())

    free = {"data__workers": 2, "data__path": "x", "data__data_dir": "x"}
    for name, value in (free | {"data__on_corrupt": "skip", "sampling__ode__rtol": 1.0}).items():
        assert work(**{name: value}) == work(), name
    telling = {"sampling__pc__steps": 9, "sampling__batch_size": 8, "sampling__method": "ode"}
    for name, value in (telling | {"data__centered": False, "eval__seed": 1}).items():
        assert work(**{name: value}) != work(), name


def test_yardsticks_are_refused_where_they_cannot_be():
    asked = ConfigDict({"eval": {"yardsticks": True}})
    one, whole = data.load("digits", "train"), data.load("digits", "test")
    quality.check(asked, one, whole)
    large = np.zeros((100, 33, 32, 1), np.uint8)
    for train_set, test_set, message in (
        (one._replace(levels=None), whole, "these are continuous"),
        (one._replace(images=memoryview(one.images)), whole, "these are not in RAM"),
        (one._replace(images=one.images[:99]), whole, "there are 99 training images"),
        (one._replace(images=large), whole, "an image is 1056 numbers"),
        (one, whole._replace(images=whole.images[:1]), "no two test images"),
    ):
        with pytest.raises(ValueError, match=f"config.eval.yardsticks.*{message}"):
            quality.check(asked, train_set, test_set)
        quality.check(ConfigDict({"eval": {"yardsticks": False}}), train_set, test_set)
