"""Arrays of images in .npy and .npz files; float arrays are continuous data, without grey levels.

A .npy file is one array of images, and need not fit into RAM. A .npz file, which must, holds

    images  (or image, samples, x, arr_0)   (N, H, W) or (N, H, W, C): uint8, or floats
    labels  (or label, y)                   (N,) or (N, 1) integers; optional
    classes                                 names of the labels; optional
    levels                                  number of grey levels of uint8 images; 256 if absent
    bounds                                  lowest and highest value that floats may have; 0, 1

and has its own split if "train" and "test" (or "val" ...) come before or after the first names:
train_images, test_images, or x_train, y_train, x_test, y_test.

Floats are scaled by `bounds` to [0, 1], and never resized. Pickled objects are refused: loading
one can run any code.
"""

import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from scoresde_jax import files
from scoresde_jax.data import pictures, splits
from scoresde_jax.data.lazy import Lazy, size_of
from scoresde_jax.data.pictures import UnsuitableImage
from scoresde_jax.data.reading import read_dataset
from scoresde_jax.data.records import numbered_classes
from scoresde_jax.data.source import UNLABELLED, Dataset, Request
from scoresde_jax.data.stores import Rows

IMAGE_KEYS = ("images", "image", "samples", "x", "arr_0")
LABEL_KEYS = ("labels", "label", "y")
FORMS = ("{split}_{key}", "{key}_{split}")
STATED = ("classes", "levels", "bounds")
# And of an archive: packed in a way that zipfile does not know, or with a password.
DAMAGED = (*files.UNREADABLE, OSError)


@dataclass(frozen=True)
class Held:
    """Rows of an array in RAM, as a store."""

    array: np.ndarray
    path: Path

    def read(self, place: int) -> np.ndarray:
        """One row."""
        return self.array[place]

    def name(self, place: int) -> str:
        """The file and the row."""
        return f"row {place} of {self.path}"

    def __len__(self) -> int:
        return len(self.array)


def array_images(path: str | os.PathLike, request: Request) -> Dataset:
    """Loads one split of the images in a .npy or .npz file.

    Raises:
      ValueError: the file is missing, holds objects, no images, or images of another kind.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise ValueError(f"{path} is no file; give the path of a .npy or .npz file.")
    opened = _opened(path)
    if isinstance(opened, np.ndarray):
        store, labels, stated, rows, classes = Rows(path), None, {}, None, UNLABELLED
        if opened.nbytes <= request.ram_limit:
            store = Held(opened, path)
        kind = opened
    else:
        with opened:
            kind, labels, rows, classes = _chosen(path, opened, request)
            stated = {key: _member(path, opened, key) for key in STATED if key in opened}
        store = Held(kind, path)
    if rows is None:
        rows = splits.held_out(len(kind), request.split, request.test_fraction)
    bounds = _bounds(path, stated.get("bounds", (0.0, 1.0)))
    levels = _levels(path, stated.get("levels", 256)) if kind.dtype == np.uint8 else None
    shape, decode = _one(path, kind, request, levels, bounds)
    dtype = np.dtype(np.uint8 if levels else np.float32)
    if "classes" in stated:
        classes = tuple(np.ravel(stated["classes"]).astype(str).tolist())
    return read_dataset(
        str(path),
        Lazy(store, rows, decode, shape, dtype),
        np.zeros(len(rows), np.int32) if labels is None else labels[rows],
        request,
        levels=levels,
        classes=classes,
        bounds=(0.0, 1.0) if levels else bounds,
    )


def plain_array(path: Path) -> tuple[np.ndarray, int, tuple[float, float]]:
    """The images of a file as they are, whatever their split; levels and bounds.

    Raises:
      ValueError: the file holds objects, or no images.
    """
    opened = _opened(path)
    if isinstance(opened, np.ndarray):
        return np.asarray(opened), 256, (0.0, 1.0)
    with opened:
        key = next((key for key in IMAGE_KEYS if key in opened), None)
        if key is None:
            raise ValueError(
                f"{path} holds {', '.join(opened) or 'nothing'}; expected an array named 'images'."
            )
        images = _images(path, opened, key, Request("test"))
        stated = {key: _member(path, opened, key) for key in STATED if key in opened}
        levels = _levels(path, stated.get("levels", 256))
        return images, levels, _bounds(path, stated.get("bounds", (0.0, 1.0)))


def _opened(path: Path) -> Any:
    """A memory map of a .npy file, or an open .npz file."""
    try:
        with open(path, "rb") as stream:
            if stream.read(2) == b"PK":
                zipfile.ZipFile(stream).close()  # np.load leaves the file open if this fails
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except DAMAGED as error:
        raise ValueError(
            f"{path} is no .npy or .npz file of plain numbers, or is damaged: {error} "
            "Pickled objects are refused, as loading them can run code."
        ) from error


def _chosen(
    path: Path, arrays: Mapping[str, np.ndarray], request: Request
) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None, tuple[str, ...]]:
    """Images, labels, the rows of the split, and the classes of all labels in the file.

    Rows are None if the file has no split of its own.
    """
    for key in IMAGE_KEYS:
        for form in FORMS:
            parts = {s: form.format(split=s, key=key) for s in ("train", *splits.TEST_NAMES)}
            own = splits.parts([s for s, name in parts.items() if name in arrays])
            if own:
                images = _images(path, arrays, parts[own[request.split]], request)
                labels = {}
                for split in own:
                    names = [form.format(split=own[split], key=k) for k in LABEL_KEYS]
                    count = len(images) if split == request.split else None
                    labels[split] = _labels(path, arrays, names, count)
                classes = numbered_classes(*labels.values())
                return images, labels[request.split], splits.shuffled(len(images)), classes
    for key in IMAGE_KEYS:
        if key in arrays:
            images = _images(path, arrays, key, request)
            labels = _labels(path, arrays, LABEL_KEYS, len(images))
            return images, labels, None, numbered_classes(labels)
    raise ValueError(
        f"{path} holds {', '.join(arrays) or 'nothing'}; expected an array named 'images', or "
        "'train_images' and 'test_images' (docs/data.md)."
    )


def _images(path: Path, arrays: Any, key: str, request: Request) -> np.ndarray:
    """A member that must not take more RAM than it may."""
    with zipfile.ZipFile(path) as archive:
        names = (key, f"{key}.npy")
        size = max((i.file_size for i in archive.infolist() if i.filename in names), default=0)
    if size > request.ram_limit:
        raise ValueError(
            f"{path}: {key!r} takes {size} bytes, and ram_limit is {request.ram_limit}; raise it, "
            "or save the images as .npy, which is read in parts."
        )
    return _member(path, arrays, key)


def _member(path: Path, arrays: Any, key: str) -> np.ndarray:
    try:
        found = arrays[key]
        if not isinstance(found, np.ndarray):  # a file of another kind, as its bytes
            raise ValueError("it is no array.")
        return found
    except DAMAGED as error:
        raise ValueError(
            f"{path}: {key!r} cannot be read: {error} "
            "Pickled objects are refused, as loading them can run code."
        ) from error


def _labels(path: Path, arrays: Any, names: Any, count: int | None) -> np.ndarray | None:
    """The first member of these names, (N,); N is not checked if count is None."""
    found = next((name for name in names if name in arrays), None)
    if found is None:
        return None
    labels = _member(path, arrays, found)
    labels = labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels
    wanted = labels.shape[:1] if count is None else (count,)
    if labels.ndim != 1 or labels.shape != wanted or labels.dtype.kind not in "iu":
        number = "" if count is None else f"{count} "
        raise ValueError(
            f"{path}: {found!r} must be {number}integers, one for each image; "
            f"got {labels.dtype} {labels.shape}."
        )
    return labels


def _levels(path: Path, stated: Any) -> int:
    values = np.ravel(stated)
    if values.dtype.kind not in "iuf" or len(values) != 1 or values[0] not in range(2, 257):
        raise ValueError(
            f"{path}: 'levels' must be the number of grey levels, 2 to 256; got {values.tolist()}."
        )
    return int(values[0])


def _bounds(path: Path, stated: Any) -> tuple[float, float]:
    values = np.ravel(stated)
    numbers = values.dtype.kind in "iuf" and len(values) == 2 and np.isfinite(values).all()
    if not (numbers and values[0] < values[1]):
        raise ValueError(
            f"{path}: 'bounds' must be the lowest and the highest value that occur; "
            f"got {values.tolist()}."
        )
    return float(values[0]), float(values[1])


def _one(
    path: Path,
    array: np.ndarray,
    request: Request,
    levels: int | None,
    bounds: tuple[float, float],
):
    """Shape of one image, and how a row becomes one."""
    own = (*array.shape[1:], 1)[:3] if array.ndim in (3, 4) else ()
    if len(own) != 3 or own[2] not in (1, 3) or array.dtype.kind != "f" and array.dtype != np.uint8:
        raise ValueError(
            f"{path}: images must be uint8 or floats, of shape (N, H, W), (N, H, W, 1) or "
            f"(N, H, W, 3); got {array.dtype} {array.shape}."
        )
    size, channels = request.image_size, request.channels or own[2]
    shape = (size or own[0], size or own[1], channels)
    if levels == 256:
        return shape, partial(_level_row, size=size, channels=channels)
    if shape != own:
        kind = "floats" if levels is None else f"images of {levels} levels"
        raise ValueError(
            f"{path}: {kind} are not resized; they are {size_of(own)}, "
            f"and image_size and channels ask for {size_of(shape)}."
        )
    if levels is None:
        return shape, partial(_number_row, bounds=bounds)
    return shape, partial(_level_row, size=None, channels=channels)


def _level_row(row: np.ndarray, *, size: int | None, channels: int) -> np.ndarray:
    image = row.reshape(*row.shape[:2], -1)
    return pictures.array_fitted(image, fit=pictures.square, size=size, channels=channels)


def _number_row(row: np.ndarray, *, bounds: tuple[float, float]) -> np.ndarray:
    low, high = bounds
    lowest, highest = row.min(), row.max()
    if not (lowest >= low and highest <= high):  # also where there is a NaN
        raise UnsuitableImage(
            f"it has values from {lowest:g} to {highest:g}, outside {low:g} to {high:g}; state the "
            "range of all images as `bounds` in the .npz (docs/data.md)"
        )
    image = row.reshape(*row.shape[:2], -1).astype(np.float64)
    return ((image - low) / (high - low)).astype(np.float32)
