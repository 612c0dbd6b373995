"""The benchmark of guidance: real digits pass for what they are, and others do not."""

import argparse
import sys

import commands
import numpy as np
import pytest
from small_network import KnowsClasses

import run_lib
from benchmarks import guidance
from scoresde_jax import build, data
from scoresde_jax.build import assemble
from scoresde_jax.evaluation.extractors import Extractor

RULE = np.eye(10, dtype=np.float32)


def by_brightness(images):
    """A classifier that knows the class from the first pixel, features that are the pixels."""
    flat = images.reshape(len(images), -1).astype(np.float32)
    return flat, RULE[images[:, 0, 0, 0]]


@pytest.fixture
def judge():
    images = np.random.default_rng(0).integers(0, 17, (200, 2, 2, 1)).astype(np.uint8)
    labels = np.arange(200) % 10
    images[:, 0, 0, 0] = labels
    extractor = Extractor("brightness", "0", "none", 4, 17, by_brightness)
    return guidance.Judge(extractor, 17, images, labels), images, labels


def test_the_same_images_are_recognised_and_no_distance_away(judge):
    judge, images, labels = judge
    found = judge.of(images, labels)
    assert found["overall"] == found["least"] == 1.0
    assert found["distance"] == pytest.approx(0, abs=1e-6)  # of pixels up to 16
    assert found["of_a_class"] == pytest.approx(0, abs=1e-6)


def test_one_class_that_is_missed_counts_in_the_least_alone(judge):
    judge, images, labels = judge
    wrong = images.copy()
    wrong[labels == 3, 0, 0, 0] = 4
    found = judge.of(wrong, labels)
    assert found["overall"] == pytest.approx(0.9) and found["least"] == 0.0
    # The mean of one class of ten is 1 away, and so is nothing else.
    assert found["of_a_class"] == pytest.approx(0.1, rel=1e-6)


def test_without_labels_an_image_is_of_the_class_it_is_taken_for(judge):
    judge, images, labels = judge
    found = judge.of(images[::-1], None)
    assert found["overall"] == 1.0 and found["of_a_class"] == pytest.approx(0, abs=1e-6)


def test_what_is_drawn_is_of_the_data_and_of_every_class_in_turn(tmp_path, monkeypatch):
    monkeypatch.setattr(assemble, "_network", lambda section: KnowsClasses(section.image_classes))
    settings = {"training__steps": 2, "model__image_classes": 10, "sampling__batch_size": 8}
    settings |= {"sampling__method": "grid", "sampling__grid__steps": 2}
    config = commands.raw_config("subvp", **settings)
    assert run_lib.run(config, mode="train", workdir=tmp_path / "run") == 0
    config = build.resolve(config)
    arguments = argparse.Namespace(workdir=tmp_path / "run", draws=2, seed=0)
    config.sampling.guidance.method = "classifier_free"
    images, labels = guidance.draw(config, arguments, labelled=True)
    np.testing.assert_array_equal(labels, [*range(10), *range(10)])
    assert images.shape == (20, 8, 8, 1) and images.dtype == np.uint8
    assert images.max() <= 16 and len(np.unique(images)) > 2  # levels of digits
    config.sampling.guidance.method = "none"
    unguided, none = guidance.draw(config, arguments, labelled=False)
    assert none is None and unguided.shape == images.shape and (unguided != images).any()
    assert len(np.unique(unguided, axis=0)) == 20  # every batch of 8 has a key of its own


def test_the_table_has_a_row_for_each_scale(judge, monkeypatch, capsys):
    _, images, labels = judge
    extractor = Extractor("brightness", "0", "none", 4, 17, by_brightness)
    monkeypatch.setattr(build, "extractor", lambda *arguments: extractor)
    made = data.Dataset(images, labels, 17, "made", tuple("0123456789"))
    monkeypatch.setattr(build, "dataset", lambda config, split: made)
    drawn = []

    def draw(config, arguments, *, labelled):
        drawn.append((config.sampling.guidance.method, config.sampling.guidance.scale))
        return images, labels if labelled else None

    monkeypatch.setattr(guidance, "draw", draw)
    arguments = ["--workdir", "unused", "--scales", "1", "2.5"]
    monkeypatch.setattr(sys, "argv", ["guidance", *arguments])
    assert guidance.main() == 0
    assert drawn == [("none", 1.5), ("classifier_free", 1.0), ("classifier_free", 2.5)]
    rows = capsys.readouterr().out.splitlines()[-2:]
    assert [row.split(" | ")[1:4] for row in rows] == [
        ["1", "100.0%", "100%"],
        ["2.5", "100.0%", "100%"],
    ]
