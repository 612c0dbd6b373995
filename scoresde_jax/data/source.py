"""What a data set is here: grey levels in RAM.

Every source returns a `Dataset`: the whole split as uint8, so a batch is one gather, and a model
of dequantised data knows the number of levels.  Scaling to [0, 1] happens on the device, inside
the compiled step (`preprocess`); shuffling and batching are in `pipeline`.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from scoresde_jax.tables import listed, nearest


class Dataset(NamedTuple):
    """One split of one data set.  Build it with `dataset`, which checks and freezes the arrays."""

    images: np.ndarray  # (N, H, W, C) uint8 in 0 .. levels-1
    labels: np.ndarray  # (N,) int32 in 0 .. len(classes)-1
    levels: int  # number of grey levels: 256, or 17 for digits
    name: str
    classes: tuple[str, ...]  # what each label means


def dataset(name: str, images, labels, *, levels: int, classes: Iterable[str]) -> Dataset:
    """Checks arrays and makes them a read-only `Dataset`; also the way in for your own images.

    Args:
      name: used in messages only.
      images: (N, H, W, C) uint8, N >= 1, values below levels.
      labels: (N,) integers, each an index into classes.  Unlabelled: zeros and one class.
      levels: 2 to 256.

    Raises:
      ValueError: an array has another shape, type or range.
    """
    images, labels, classes = np.asarray(images), np.asarray(labels), tuple(classes)
    if images.dtype != np.uint8 or images.ndim != 4 or not images.size:
        raise ValueError(
            f"{name}: images must be uint8 of shape (N, H, W, C) with N >= 1; "
            f"got {images.dtype} {images.shape}."
        )
    if not 2 <= levels <= 256 or images.max() >= levels:
        raise ValueError(
            f"{name}: levels must be 2 to 256 and every pixel below it; "
            f"got levels={levels} and a largest pixel of {images.max()}."
        )
    if labels.shape != images.shape[:1] or labels.dtype.kind not in "iu":
        raise ValueError(
            f"{name}: labels must be {len(images)} integers, one for each image; "
            f"got {labels.dtype} {labels.shape}."
        )
    if labels.min() < 0 or labels.max() >= len(classes):
        raise ValueError(
            f"{name}: labels must lie in 0 .. {len(classes) - 1} for {len(classes)} classes; "
            f"got {labels.min()} .. {labels.max()}."
        )
    images, labels = np.ascontiguousarray(images), labels.astype(np.int32)
    # A view, so that the caller's own array stays writable.
    images = images.view()
    images.flags.writeable = labels.flags.writeable = False
    return Dataset(images, labels, levels, name, classes)


def check_known(what: str, value: str, known: Iterable[str]) -> None:
    """Raises ValueError, listing what is known and the nearest name, unless value is known."""
    known = tuple(known)
    if value in known:
        return
    raise ValueError(f"unknown {what} {value!r}; known: {listed(known)}.{nearest(value, known)}")
