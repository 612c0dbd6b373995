import json

import numpy as np
import pytest
from made_images import made, write_folder

from scoresde_jax.data import inspect, load
from scoresde_jax.data.inspect import contents, images_per_second, largest_distance
from scoresde_jax.data.source import dataset


def labelled(images, levels=256, **more):
    labels = np.arange(len(images)) % 3
    return dataset("own", images, labels, levels=levels, classes="abc", **more)


def test_contents():
    images = made(10, 4, 5, 1) % 17
    found = contents(labelled(images, levels=17))
    assert found == {
        "name": "own",
        "images": 10,
        "height": 4,
        "width": 5,
        "channels": 1,
        "levels": 17,
        "bounds": None,
        "bytes": 200,
        "in_ram": True,
        "labels": {"a": 4, "b": 3, "c": 3},
        "skipped": [],
        "sample": 10,
        "smallest": int(images.min()),
        "largest": int(images.max()),
        "mean": images.mean(),
        "distinct": len(set(images.ravel().tolist())),
    }
    assert json.loads(json.dumps(found)) == found


def test_contents_of_continuous_data():
    images = np.random.default_rng(0).random((10, 4, 5, 1), np.float32)
    found = contents(labelled(images, levels=None, bounds=(-2.0, 3.0)), sample=4)
    assert found["levels"] is found["distinct"] is None and found["bounds"] == [-2.0, 3.0]
    assert found["bytes"] == 800 and found["sample"] == 4
    assert found["mean"] == pytest.approx(images[:4].mean(), rel=1e-6)  # float32
    json.dumps(found)


@pytest.fixture
def folder(tmp_path):
    """Six pictures, of which 001 and 004 cannot be read."""
    write_folder(tmp_path, made(6))
    for name in ("001.png", "004.png"):
        (tmp_path / name).write_bytes(b"text")
    return tmp_path


def test_contents_and_what_was_skipped(folder):
    for ram_limit in (0, 2**20):
        data = load(
            "folder", "train", path=folder, test_fraction=0, on_corrupt="skip", ram_limit=ram_limit
        )
        found = contents(data)
        assert (found["images"], found["in_ram"]) == (4, ram_limit > 0)
        assert len(found["skipped"]) == 2 and found["labels"] == {"unlabelled": 4}


def test_samples_are_bounded_by_their_bytes(monkeypatch):
    """2,000 images of 1024 pixels would take 50 GB."""
    data = labelled(made(9, 4, 4, 3))
    for allowed, count in ((0, 2), (5 * 48 * 8, 5), (2**30, 9)):
        monkeypatch.setattr(inspect, "SAMPLE_BYTES", allowed)
        assert contents(data)["sample"] == largest_distance(data).sample == count


def test_images_per_second_counts_images():
    data = labelled(made(30))
    assert images_per_second(data, batch_size=10, seconds=0.05) > 1000


@pytest.mark.parametrize("levels", [256, 17])
def test_largest_distance_is_that_of_all_pairs(levels):
    """By brute force, over more images than are compared at once."""
    images = np.random.default_rng(0).integers(0, levels, (700, 3, 3, 3), np.uint8)
    found = largest_distance(labelled(images, levels=levels))
    x = images.reshape(700, -1) / (levels - 1)
    pairs = np.sqrt(((x[:, None] - x) ** 2).sum(axis=2))
    assert found.largest == pytest.approx(pairs.max(), rel=1e-14)  # sums in another order
    assert pairs[found.pair] == pytest.approx(pairs.max(), rel=1e-14)
    assert (found.sample, found.total) == (700, 700)


def test_largest_distance_of_black_and_white_is_the_bound():
    images = np.zeros((1200, 4, 4, 3), np.uint8)
    images[1100] = 255
    found = largest_distance(labelled(images))
    assert found.bound == 48**0.5
    assert found.largest == pytest.approx(found.bound, rel=1e-15)  # a root and a division
    assert sorted(found.pair)[1] == 1100


def test_largest_distance_of_a_sample_and_of_continuous_data():
    images = np.random.default_rng(0).random((60, 2, 2, 1), np.float32)
    data = labelled(images, levels=None)
    some, every = largest_distance(data, sample=10), largest_distance(data)
    assert some.sample == 10 and some.total == 60 and some.largest <= every.largest
    x = images.reshape(60, -1).astype(np.float64)
    assert every.largest == pytest.approx(np.sqrt(((x[:, None] - x) ** 2).sum(2)).max(), rel=1e-12)
    assert largest_distance(labelled(made(1))).largest == 0
