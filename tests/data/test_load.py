"""The same images from every kind of source are the same batches; names and arguments."""

import itertools
import pickle

import numpy as np
import pytest
from made_images import (
    encoded,
    made,
    stylegan,
    write_array_record,
    write_folder,
    write_tfrecord,
    write_zip,
)

from scoresde_jax.data import batches, eval_batches, load
from scoresde_jax.data.lazy import Lazy

IMAGES = made(23, 8, 8)


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """Arguments of `load` by kind.  Read only."""
    root = tmp_path_factory.mktemp("sources")
    folder = write_folder(root / "folder", IMAGES)
    np.savez(root / "x.npz", images=IMAGES)
    np.save(root / "x.npy", IMAGES)
    return {
        "folder": {"name": "folder", "path": folder},
        "zip": {"name": "folder", "path": write_zip(root / "x.zip", folder)},
        "npz": {"name": "arrays", "path": root / "x.npz"},
        "npy": {"name": "arrays", "path": root / "x.npy"},
        "array_record": {
            "name": "array_record",
            "path": write_array_record(root / "x.array_record", map(encoded, IMAGES)),
        },
        "tfrecord": {
            "name": "tfrecord",
            "path": write_tfrecord(root / "x.tfrecord", map(stylegan, IMAGES)),
        },
    }


KINDS = ["folder", "zip", "npz", "npy", "array_record", "tfrecord"]
LAZY = [kind for kind in KINDS if kind != "npz"]


def assert_same(left, right):
    assert left.keys() == right.keys()
    for name in left:
        np.testing.assert_array_equal(left[name], right[name])
        assert left[name].dtype == right[name].dtype


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("size", [{}, {"image_size": 5}, {"image_size": 8, "channels": 1}])
def test_batches_of_all_sources_are_identical(sources, split, size):
    held = {kind: load(split=split, **sources[kind], **size) for kind in KINDS}
    lazy = {kind: load(split=split, **sources[kind], **size, ram_limit=0) for kind in LAZY}
    streams = [
        itertools.islice(batches(data, batch_size=7, seed=3), 6)
        for data in (*held.values(), *lazy.values())
    ]
    for several in zip(*streams, strict=True):
        for other in several[1:]:
            assert_same(several[0], other)
    for several in zip(*(eval_batches(data, 4) for data in held.values()), strict=True):
        for other in several[1:]:
            assert_same(several[0], other)


@pytest.mark.parametrize("kind", LAZY)
def test_lazy_images_can_be_sent_to_another_process(sources, kind):
    data = load(split="train", **sources[kind], ram_limit=0)
    expected = data.images[[4, 0]]  # files may be open now
    copy = pickle.loads(pickle.dumps(data.images))
    np.testing.assert_array_equal(copy[[4, 0]], expected)


def test_lazy_images_are_indexed_as_arrays(sources):
    held = load(split="train", **sources["folder"])
    lazy = load(split="train", **sources["folder"], ram_limit=0).images
    assert isinstance(lazy, Lazy) and lazy.shape == held.images.shape == (21, 8, 8, 3)
    assert len(lazy) == 21 and lazy.nbytes == held.images.nbytes
    for index in (0, -1, np.int64(5), slice(3), slice(None, None, -4), [2, 2], [[1], [0]], []):
        index = np.array(index, int) if isinstance(index, list) else index
        np.testing.assert_array_equal(lazy[index], held.images[index])
        assert lazy[index].dtype == np.uint8
    for index in (21, [0, 21]):
        with pytest.raises(IndexError):
            lazy[index]


def test_lazy_images_are_never_taken_for_an_array_by_mistake(sources):
    lazy = load(split="train", **sources["folder"], ram_limit=0).images
    with pytest.raises(TypeError, match="would take 0.0 GB of RAM; index those that you need"):
        np.asarray(lazy)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "foldr"}, "unknown data set 'foldr'.*mean 'folder'"),
        ({"split": "tests"}, "split of a folder source 'tests'.*mean 'test'"),
        ({"path": None}, "'folder' needs the path of your own data: set path"),
        ({"on_corrupt": "ignore"}, "unknown on_corrupt 'ignore'; known: error, skip"),
        ({"image_size": 0}, "image_size must be 1 or more pixels; got 0"),
        ({"channels": 4}, r"channels must be 1 \(grey\) or 3 \(RGB\); got 4"),
        ({"test_fraction": 1.0}, "test_fraction must be at least 0 and below 1; got 1"),
        ({"test_fraction": -0.1}, "got -0.1"),
    ],
)
def test_arguments_are_checked(sources, arguments, message):
    with pytest.raises(ValueError, match=message):
        load(**({"split": "train"} | sources["folder"] | arguments))
