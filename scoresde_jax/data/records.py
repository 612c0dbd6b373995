"""Images in TFRecord or array_record files.

A record is a picture as PIL reads it (PNG, JPEG ...), or a tf.train.Example with

    image (or image/encoded)     a picture                                     bytes
    data, shape                  or raw uint8 and [channels, height, width]    bytes, 3 integers
    label (or image/class/label) from 0, optional                              1 integer

`data, shape` is the format of StyleGAN's TFRecords (FFHQ, CelebA-HQ); `image, label` that of TFDS.
A folder with folders "train" and "test" (or "val" ...) has its own split.
"""

import math
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from scoresde_jax.data import examples, pictures, splits
from scoresde_jax.data.lazy import Lazy, Store
from scoresde_jax.data.pictures import CorruptImage, Fit, UnsuitableImage
from scoresde_jax.data.reading import first_shape, read_dataset
from scoresde_jax.data.source import UNLABELLED, Dataset, Request
from scoresde_jax.data.stores import ArrayRecords, expanded
from scoresde_jax.data.tfrecord import tfrecords

IMAGE_KEYS = ("image", "image/encoded")
LABEL_KEYS = ("label", "image/class/label")


def tfrecord_images(path: str | os.PathLike, request: Request) -> Dataset:
    """Loads one split of the images in TFRecord files: a file, a folder, or a pattern.

    Raises:
      ValueError: a file is missing, damaged or something else, or images do not fit together.
    """
    return _images(path, ".tfrecord", tfrecords, request)


def array_record_images(path: str | os.PathLike, request: Request) -> Dataset:
    """Loads one split of the images in array_record files: a file, a folder, or a pattern.

    Raises:
      ValueError: as `tfrecord_images`.
    """
    return _images(path, ".array_record", ArrayRecords, request)


def _images(
    path: str | os.PathLike,
    ending: str,
    make_store: Callable[[tuple[Path, ...]], Store],
    request: Request,
) -> Dataset:
    root = Path(path).expanduser()
    folders = [entry.name for entry in root.iterdir() if entry.is_dir()] if root.is_dir() else []
    own = splits.parts(folders)
    if own:
        stores = {split: make_store(expanded(root / own[split], ending)) for split in own}
        store = stores[request.split]
        rows = splits.shuffled(len(store))
        labels = {split: record_labels(stores[split]) for split in stores}
        classes = numbered_classes(*labels.values())
        chosen = labels[request.split]
    else:
        store = make_store(expanded(root, ending))
        rows = splits.held_out(len(store), request.split, request.test_fraction)
        chosen = record_labels(store)
        classes = numbered_classes(chosen)
    return record_dataset(
        str(root),
        store,
        rows,
        np.zeros(len(store), np.int32) if chosen is None else chosen,
        request,
        fit=pictures.square,
        classes=classes,
    )


def record_dataset(
    name: str,
    store: Store,
    rows: np.ndarray,
    labels: np.ndarray,
    request: Request,
    *,
    fit: Fit,
    classes: tuple[str, ...],
) -> Dataset:
    """The images of some records as a data set.

    Args:
      labels: (N,) of all records of the store.
    """
    size, channels = request.image_size, request.channels
    decode = partial(record_pixels, fit=fit, size=size, channels=channels)
    shape = (size, size, channels) if size and channels else first_shape(store, decode)
    if channels is None:  # as in the first image, for all
        decode = partial(record_pixels, fit=fit, size=size, channels=shape[2])
    images = Lazy(store, rows, decode, shape)
    return read_dataset(name, images, labels[rows], request, classes=classes)


def record_pixels(record: bytes, *, fit: Fit, size: int | None, channels: int | None) -> np.ndarray:
    """Decodes a record; (H, W, C) uint8.

    Raises:
      CorruptImage, UnsuitableImage: as `pictures.picture`, or an Example has no image.
    """
    example = _example(record)
    if example is None:
        return pictures.picture(record, fit=fit, size=size, channels=channels)
    if "data" in example and "shape" in example:
        data, shape = _values(example["data"]), _values(example["shape"])
        return _raw(data, shape, fit=fit, size=size, channels=channels)
    for key in IMAGE_KEYS:
        if key in example and len(found := _values(example[key])) == 1:
            return pictures.picture(bytes(found[0]), fit=fit, size=size, channels=channels)
    raise UnsuitableImage(
        f"its Example holds {', '.join(map(repr, example)) or 'nothing'}; expected 'image' with an "
        "encoded picture, or 'data' and 'shape' with raw pixels."
    )


def record_labels(store: Store) -> np.ndarray | None:
    """The labels of all records, (N,) int32; None if the first record that is whole has none.

    Raises:
      ValueError: some have one and a later one does not.
    """
    labels, labelled = np.zeros(len(store), np.int32), False
    for place in range(len(store)):
        try:
            label = _label(store.read(place))
        except CorruptImage:
            continue  # decoding will say so
        if label is None and labelled:
            raise ValueError(f"{store.name(place)} has no label, and those before it have one.")
        if label is None:
            return None
        labels[place], labelled = label, True
    return labels


def numbered_classes(*labels: np.ndarray | None) -> tuple[str, ...]:
    """Names of classes that have only numbers."""
    known = [found for found in labels if found is not None and len(found)]
    if not known:
        return UNLABELLED
    return tuple(map(str, range(1 + max(int(found.max()) for found in known))))


def _example(record: bytes) -> dict[str, memoryview] | None:
    """The features of a record; None if it is a picture.

    PCX pictures begin as Examples do, and are told apart by not being one.
    """
    if record[:1] != bytes([examples.FIRST_BYTE]):
        return None
    try:
        return examples.features(record)
    except examples.NoExample:
        return None


def _values(feature: memoryview) -> Any:
    try:
        return examples.values(feature)
    except examples.NoExample as error:
        raise CorruptImage(f"its Example is damaged: {error}") from error


def _label(record: bytes) -> int | None:
    example = _example(record) or {}
    found = next((_values(example[key]) for key in LABEL_KEYS if key in example), ())
    return int(found[0]) if isinstance(found, np.ndarray) and len(found) == 1 else None


def _raw(data: Any, shape: Any, *, fit: Fit, size: int | None, channels: int | None) -> np.ndarray:
    shape = tuple(shape.tolist()) if isinstance(shape, np.ndarray) else ()
    lengths = [len(part) for part in data] if isinstance(data, list) else []
    if len(shape) != 3 or shape[0] not in (1, 3) or min(shape) < 1 or lengths != [math.prod(shape)]:
        raise CorruptImage(
            f"its shape is {shape} and its data have {lengths} bytes; "
            "expected (1 or 3, height, width) and as many bytes"
        )
    image = np.frombuffer(data[0], np.uint8).reshape(shape).transpose(1, 2, 0)
    return pictures.array_fitted(image, fit=fit, size=size, channels=channels)
