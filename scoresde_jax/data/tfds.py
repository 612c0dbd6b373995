"""TensorFlow Datasets that were prepared as array_record, read without TensorFlow or network.

`python -m scoresde_jax.data.prepare NAME` makes the copies.  To add a data set of images, with or
without labels, add a row to SOURCES.

How images are cut to size, and which split is tested on, are those of the 2021 code, but where it
is said otherwise.
"""

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from scoresde_jax.data import pictures, splits
from scoresde_jax.data.records import record_dataset, record_labels
from scoresde_jax.data.source import UNLABELLED, Dataset, Request, check_known
from scoresde_jax.data.stores import ArrayRecords


class Source(NamedTuple):
    """What to expect of a data set with a feature "image", and maybe "label"."""

    builder: str  # its name in TFDS, with the config after a slash
    shape: tuple[int | None, int | None, int]  # of one image; None where sizes differ
    splits: Mapping[str, str]  # what is asked for -> its name in TFDS
    fit: pictures.Fit  # how an image is cut to size


TRAIN_TEST = {"train": "train", "test": "test"}
TRAIN_VALIDATION = {"train": "train", "test": "validation"}
TRAIN_ONLY = {"train": "train"}  # a part is held out for testing; see splits.py

SCENES = (
    *("bedroom", "bridge", "church_outdoor", "classroom", "conference_room", "dining_room"),
    *("kitchen", "living_room", "restaurant", "tower"),
)
OBJECTS = (
    *("airplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("dining_table", "dog", "horse", "motorbike", "person", "potted_plant", "sheep", "sofa"),
    *("train", "tv-monitor"),
)
ANY = (None, None, 3)

SOURCES = {
    "cifar10": Source("cifar10", (32, 32, 3), TRAIN_TEST, pictures.stretch),
    "svhn_cropped": Source(
        "svhn_cropped", (32, 32, 3), TRAIN_TEST | {"extra": "extra"}, pictures.stretch
    ),
    "mnist": Source("mnist", (28, 28, 1), TRAIN_TEST, pictures.stretch),
    # The 2021 code tested on the validation split.
    "celeba": Source(
        "celeb_a", (218, 178, 3), TRAIN_TEST | {"validation": "validation"}, pictures.celeba
    ),
    "imagenet_32": Source("downsampled_imagenet/32x32", ANY, TRAIN_VALIDATION, pictures.stretch),
    "imagenet_64": Source("downsampled_imagenet/64x64", ANY, TRAIN_VALIDATION, pictures.stretch),
    **{f"lsun_{c}": Source(f"lsun/{c}", ANY, TRAIN_VALIDATION, pictures.lsun) for c in SCENES},
    **{f"lsun_{c}": Source(f"lsun/{c}", ANY, TRAIN_ONLY, pictures.lsun) for c in OBJECTS},
}


class DataNotPrepared(FileNotFoundError, ValueError):
    """No readable copy of a data set is where it was looked for; the message says what to run."""


def default_data_dir() -> Path:
    """Returns $TFDS_DATA_DIR, or ~/tensorflow_datasets where it is not set."""
    return Path(os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets").expanduser()


def copies(name: str, data_dir: str | os.PathLike) -> dict[Path, str]:
    """Returns the complete copies in data_dir: data_dir/builder/version -> record format.

    Looks at file names and small JSON files only.
    """
    return {
        info.parent: json.loads(info.read_text()).get("fileFormat", "tfrecord")
        for info in sorted((Path(data_dir) / SOURCES[name].builder).glob("*/dataset_info.json"))
        if re.fullmatch(r"\d+\.\d+\.\d+", info.parent.name)  # not incomplete.XYZ_3.0.2
    }


def prepared_dir(name: str, data_dir: str | os.PathLike | None = None) -> Path:
    """Returns the directory of the newest copy that can be read: data_dir/builder/version.

    Raises:
      DataNotPrepared: there is none in the array_record format.
    """
    root = Path(data_dir).expanduser() if data_dir else default_data_dir()
    formats = copies(name, root)
    readable = [path for path, kind in formats.items() if kind == "array_record"]
    if readable:
        return max(readable, key=lambda path: [int(part) for part in path.name.split(".")])
    found = f"no {root / SOURCES[name].builder}/VERSION/dataset_info.json"
    if formats:
        unreadable = ", ".join(f"{path} ({kind})" for path, kind in formats.items())
        found = f"only {unreadable}, which needs TensorFlow to read; move that away"
    elif not root.is_dir():
        found = f"no directory {root}"
    raise DataNotPrepared(
        f"{name} is not prepared: expected a copy in the array_record format in {root} (set by "
        f"data_dir, else by $TFDS_DATA_DIR, else ~/tensorflow_datasets), found {found}. "
        f"Prepare it once, where there is a network:\n"
        f"  pip install -e '.[tfds]'\n"
        f"  python -m scoresde_jax.data.prepare {name} --data_dir {root}"
    )


def tfds_images(name: str, request: Request, data_dir: str | os.PathLike | None = None) -> Dataset:
    """Loads one split of a prepared data set.

    CIFAR-10 takes about 7 s and 150 MB.

    Args:
      name: a key of SOURCES.
      data_dir: the directory given to `prepare`; `default_data_dir()` if None.

    Raises:
      ValueError: name or split is not known, the images are not what SOURCES says, or they have
        many sizes and none is asked for.
      DataNotPrepared: there is no copy that can be read.
    """
    check_known("TFDS data set", name, SOURCES)
    source = SOURCES[name]
    own_test = "test" in source.splits
    check_known(f"split of {name}", request.split, source.splits if own_test else TRAIN_TEST)
    path = prepared_dir(name, data_dir)
    info = _info(path)
    stored = info.features["image"].shape
    if stored != source.shape:
        raise ValueError(f"{name}: expected images of shape {source.shape}; {path} has {stored}.")
    split = source.splits[request.split if own_test else "train"]
    store = ArrayRecords(tuple(Path(file) for file in info.splits[split].filepaths))
    rows = np.arange(len(store))
    if not own_test:
        rows = splits.held_out(len(store), request.split, request.test_fraction)
    labelled = "label" in info.features
    labels = record_labels(store) if labelled else None
    return record_dataset(
        name,
        store,
        rows,
        np.zeros(len(store), np.int32) if labels is None else labels,
        request._replace(channels=request.channels or source.shape[2]),
        fit=source.fit,
        classes=tuple(info.features["label"].names) if labelled else UNLABELLED,
    )


def _info(path: Path) -> Any:
    import tensorflow_datasets as tfds

    # From the directory, not by name: by name TFDS would insist on its newest version.
    return tfds.builder_from_directory(path).info
