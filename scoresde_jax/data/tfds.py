"""TensorFlow Datasets that were prepared as array_record, read without TensorFlow or network.

`python -m scoresde_jax.data.prepare NAME` makes the copies.  To add a data set of fixed-size,
labelled images, add a row to SOURCES.
"""

import io
import json
import os
import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from scoresde_jax.data.source import Dataset, check_known, dataset


class Source(NamedTuple):
    """What to expect of a data set with features "image" and "label"."""

    splits: tuple[str, ...]
    shape: tuple[int, int, int]  # of one image


SOURCES = {
    "cifar10": Source(splits=("train", "test"), shape=(32, 32, 3)),
    "svhn_cropped": Source(splits=("train", "test", "extra"), shape=(32, 32, 3)),
}


class DataNotPrepared(FileNotFoundError, ValueError):
    """No readable copy of a data set is where it was looked for; the message says what to run."""


def default_data_dir() -> Path:
    """Returns $TFDS_DATA_DIR, or ~/tensorflow_datasets where it is not set."""
    return Path(os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets").expanduser()


def copies(name: str, data_dir: str | os.PathLike) -> dict[Path, str]:
    """Returns the complete copies in data_dir: data_dir/name/version -> record format.

    Looks at file names and small JSON files only.
    """
    return {
        info.parent: json.loads(info.read_text()).get("fileFormat", "tfrecord")
        for info in sorted((Path(data_dir) / name).glob("*/dataset_info.json"))
        if re.fullmatch(r"\d+\.\d+\.\d+", info.parent.name)  # not incomplete.XYZ_3.0.2
    }


def prepared_dir(name: str, data_dir: str | os.PathLike | None = None) -> Path:
    """Returns the directory of the newest copy that can be read: data_dir/name/version.

    Raises:
      DataNotPrepared: there is none in the array_record format.
    """
    root = Path(data_dir).expanduser() if data_dir else default_data_dir()
    formats = copies(name, root)
    readable = [path for path, kind in formats.items() if kind == "array_record"]
    if readable:
        return max(readable, key=lambda path: [int(part) for part in path.name.split(".")])
    found = f"no {root / name}/VERSION/dataset_info.json"
    if formats:
        unreadable = ", ".join(f"{path} ({kind})" for path, kind in formats.items())
        found = f"only {unreadable}, which needs TensorFlow to read; move that away"
    elif not root.is_dir():
        found = f"no directory {root}"
    raise DataNotPrepared(
        f"{name} is not prepared: expected a copy in the array_record format in {root} (set by "
        f"data_dir, else by $TFDS_DATA_DIR, else ~/tensorflow_datasets), found {found}. "
        f"Prepare it once, where there is a network:\n"
        f"  pip install -e .[tfds]\n"
        f"  python -m scoresde_jax.data.prepare {name} --data_dir {root}"
    )


def tfds_images(name: str, split: str, data_dir: str | os.PathLike | None = None) -> Dataset:
    """Decodes one split of a prepared data set into RAM, in stored order.

    CIFAR-10 takes about 7 s and 150 MB.

    Args:
      name: a key of SOURCES.
      data_dir: the directory given to `prepare`; `default_data_dir()` if None.

    Raises:
      ValueError: name or split is not known, or the images are not what SOURCES says.
      DataNotPrepared: there is no copy that can be read.
    """
    check_known("TFDS data set", name, SOURCES)
    expected = SOURCES[name]
    check_known(f"split of {name}", split, expected.splits)
    path = prepared_dir(name, data_dir)
    import tensorflow_datasets as tfds
    from PIL import Image

    # From the directory, not by name: by name TFDS would insist on its newest version.
    builder: Any = tfds.builder_from_directory(path)
    stored = builder.info.features["image"].shape
    if stored != expected.shape:
        raise ValueError(f"{name}: expected images of shape {expected.shape}; {path} has {stored}.")
    # Stored PNG bytes, decoded here: twice as fast as TFDS and without its advice on OpenCV.
    records = builder.as_data_source(split=split, decoders={"image": tfds.decode.SkipDecoding()})
    images = np.empty((len(records), *expected.shape), np.uint8)
    labels = np.empty(len(records), np.int32)
    for row in range(len(records)):
        record = records[row]
        images[row] = np.asarray(Image.open(io.BytesIO(record["image"]))).reshape(expected.shape)
        labels[row] = record["label"]
    classes = builder.info.features["label"].names
    return dataset(name, images, labels, levels=256, classes=classes)
