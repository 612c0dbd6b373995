"""The contract of a data set, and the table of names."""

import subprocess
import sys

import numpy as np
import pytest

from scoresde_jax.data import load
from scoresde_jax.data.source import dataset

IMAGES = np.zeros((3, 2, 2, 1), np.uint8)
LABELS = np.array([0, 1, 1])
CLASSES = ("cat", "dog")


def test_dataset_is_frozen_but_leaves_the_arrays_given_to_it_writable():
    images = IMAGES.copy()
    own = dataset("own", images, LABELS, levels=256, classes=CLASSES)
    assert own.labels.dtype == np.int32
    with pytest.raises(ValueError, match="read-only"):
        own.images[0] = 1
    with pytest.raises(ValueError, match="read-only"):
        own.labels[0] = 1
    images[0] = 1


def test_continuous_data_have_no_levels():
    images = np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 2, 2, 1)
    own = dataset("own", images, LABELS, levels=None, classes=CLASSES, bounds=(-3.0, 5.0))
    assert own.levels is None and own.bounds == (-3.0, 5.0)
    np.testing.assert_array_equal(own.images, images)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": IMAGES.astype(np.float32)}, r"uint8.*got float32 \(3, 2, 2, 1\)"),
        ({"images": IMAGES[..., 0]}, r"\(N, H, W, C\).*got uint8 \(3, 2, 2\)"),
        ({"images": IMAGES[:0], "labels": LABELS[:0]}, "N >= 1"),
        ({"images": IMAGES + 17, "levels": 17}, "levels=17 and a largest pixel of 17"),
        ({"levels": 257}, "levels=257"),
        ({"levels": None}, r"continuous images must be float32.*got uint8"),
        ({"levels": None, "images": IMAGES[..., 0].astype(np.float32)}, r"got float32 \(3, 2, 2\)"),
        ({"levels": None, "images": IMAGES - np.float32(0.5)}, r"in \[0, 1\]; got -0.5 to -0.5"),
        ({"levels": None, "images": IMAGES * np.float32(np.nan)}, "got nan to nan"),
        ({"labels": LABELS[:2]}, r"3 integers.*got int64 \(2,\)"),
        ({"labels": LABELS / 2}, "got float64"),
        ({"labels": LABELS + 1}, r"0 \.\. 1 for 2 classes; got 1 \.\. 2"),
        ({"labels": LABELS - 1}, r"got -1 \.\. 0"),
    ],
)
def test_dataset_refuses_what_breaks_the_contract(change, message):
    kwargs = {"images": IMAGES, "labels": LABELS, "levels": 256, "classes": CLASSES} | change
    with pytest.raises(ValueError, match=message):
        dataset("own", **kwargs)


def test_unknown_names_are_answered_with_the_known_and_the_nearest():
    with pytest.raises(ValueError, match=r"known: digits, emoji, cifar10.*mean 'cifar10'"):
        load("cifar-10", "train")
    with pytest.raises(ValueError, match=r"data set 'xyzzy'; known: .*folder, arrays, .*\.$"):
        load("xyzzy", "train")


@pytest.mark.parametrize("name", ["digits", "emoji", "cifar10"])
def test_unknown_splits_are_refused_before_any_file_is_looked_for(name, tmp_path):
    with pytest.raises(ValueError, match=f"split of {name} 'tests'; .*mean 'test'"):
        load(name, "tests", tmp_path)


def test_import_leaves_the_data_libraries_alone():
    """Importing is fast, and works where grain is not installed."""
    code = (
        "import sys, scoresde_jax.data, scoresde_jax.data.preprocess, scoresde_jax.data.prepare;"
        "print({'grain', 'sklearn', 'tensorflow_datasets', 'tensorflow', 'PIL'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "set()\n", done.stderr
