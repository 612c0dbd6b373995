"""What a reference keeps, what samples depend on, and what is said of a distance."""

import types

import commands
import numpy as np

from scoresde_jax import data, quality
from scoresde_jax.evaluation import principal_components
from scoresde_jax.evaluation.extractors import component_extractor

TRAIN = np.asarray(data.load("digits", "train").images)
EXTRACTOR = component_extractor(principal_components(TRAIN, 16), levels=17)


def test_statistics_keep_so_many_features_and_say_whose(monkeypatch):
    monkeypatch.setattr(quality, "FEATURES_KEPT", 300)  # a block is 256 images
    found = quality.statistics(data.load("digits", "train"), "train", EXTRACTOR)
    assert found.features is not None and found.provenance is not None
    assert found.moments.count == 1500 and found.features.shape == (300, 16)
    assert found.provenance.source == "digits/train 8x8x1"


def test_samples_are_kept_when_only_what_they_do_not_depend_on_changes():
    def work(weight=1.0, **settings):
        config = commands.tiny_config("subvp", **settings)
        params = {"w": np.full(2, weight)}
        return quality.work(config, 2, types.SimpleNamespace(size=1), params, ())

    free = {"data__workers": 2, "data__path": "x", "data__data_dir": "x"}
    for name, value in (free | {"data__on_corrupt": "skip", "sampling__ode__rtol": 1.0}).items():
        assert work(**{name: value}) == work(), name
    telling = {"sampling__pc__steps": 9, "sampling__batch_size": 8, "sampling__method": "ode"}
    for name, value in (telling | {"data__centered": False, "eval__seed": 1}).items():
        assert work(**{name: value}) != work(), name
    assert work(weight=2.0) != work()  # trained anew, to the same step


def test_the_line_says_the_distance_of_infinitely_many_images():
    line = {"mean": 1.25, "standard_error": 0.5}
    distance = {"mean": 2.0, "standard_error": 0.25, "extrapolated": line}
    origin = {"extractor": "x", "images": 200}
    (said,) = quality.lines({"provenance": origin, "frechet_distance": distance})
    assert said == (
        "Frechet distance 2.000 +- 0.250, of infinitely many images 1.250 +- 0.500 (x, 200 images)"
    )
