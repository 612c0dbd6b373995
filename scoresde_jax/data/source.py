"""What a data set is here: images of one shape, in grey levels or as numbers, and their labels.

Every source returns a `Dataset`. Its images are an array where they fit into RAM, and otherwise
something indexed like one that decodes what it is asked for (`lazy.Lazy`); either way a batch is
one gather. Scaling to [0, 1] happens on the device, inside the compiled step (`preprocess`);
shuffling and batching are in `pipeline`.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple, Protocol

import numpy as np

from scoresde_jax.data.lazy import Lazy
from scoresde_jax.tables import listed, nearest

UNLABELLED = ("unlabelled",)  # the classes of a source without any
TEST_FRACTION = 0.1  # of a source that has no split of its own; changing it changes old numbers
RAM_LIMIT = 2**31  # bytes of one split; CelebA at 64 pixels just fits


class Images(Protocol):
    """Images in RAM, or decoded when asked for."""

    @property
    def shape(self) -> Any:
        """(N, H, W, C)."""
        ...

    @property
    def dtype(self) -> Any:
        """uint8, or float32 for continuous data."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: Any, /) -> Any:
        """Image number i; or those of a slice or of an array of indices, (B, H, W, C)."""
        ...


class Dataset(NamedTuple):
    """One split of one data set.  Build it with `dataset`, which checks and freezes the arrays."""

    images: Images  # (N, H, W, C) uint8 in 0 .. levels-1; float32 in [0, 1] if levels is None
    labels: np.ndarray  # (N,) int32 in 0 .. len(classes)-1
    levels: int | None  # number of grey levels: 256, or 17 for digits; None for continuous data
    name: str
    classes: tuple[str, ...]  # what each label means
    bounds: tuple[float, float] = (0.0, 1.0)  # of continuous data: what 0 and 1 stand for
    skipped: tuple[str, ...] = ()  # corrupt images that were left out: "where: why"


class Request(NamedTuple):
    """What is asked of a source; see `data.load`."""

    split: str
    image_size: int | None = None
    channels: int | None = None
    on_corrupt: str = "error"
    test_fraction: float = TEST_FRACTION
    ram_limit: int = RAM_LIMIT


def dataset(
    name: str,
    images: Any,
    labels: Any,
    *,
    levels: int | None,
    classes: Iterable[str],
    bounds: tuple[float, float] = (0.0, 1.0),
    skipped: Iterable[str] = (),
) -> Dataset:
    """Checks arrays and makes them a read-only `Dataset`; also the way in for your own images.

    Images in RAM are checked pixel by pixel; lazy ones when they are decoded.

    Args:
      name: used in messages only.
      images: (N, H, W, C) uint8, N >= 1, values below levels; or float32 in [0, 1] if levels is
        None.
      labels: (N,) integers, each an index into classes.  Unlabelled: zeros and `UNLABELLED`.
      levels: 2 to 256, or None for continuous data.

    Raises:
      ValueError: an array has another shape, type or range.
    """
    lazy = isinstance(images, Lazy)
    images = images if lazy else np.asarray(images)
    labels, classes = np.asarray(labels), tuple(classes)
    if levels is None:
        _check_continuous(name, images, lazy)
    else:
        _check_levels(name, images, levels, lazy)
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
    labels = labels.astype(np.int32)
    labels.flags.writeable = False
    if not lazy:
        # A view, so that the caller's own array stays writable.
        images = np.ascontiguousarray(images).view()
        images.flags.writeable = False
    return Dataset(images, labels, levels, name, classes, bounds, tuple(skipped))


def _check_levels(name: str, images: Any, levels: int, lazy: bool) -> None:
    if images.dtype != np.uint8 or len(images.shape) != 4 or 0 in images.shape:
        raise ValueError(
            f"{name}: images must be uint8 of shape (N, H, W, C) with N >= 1; "
            f"got {images.dtype} {images.shape}."
        )
    largest = 0 if lazy else images.max()
    if not 2 <= levels <= 256 or largest >= levels:
        raise ValueError(
            f"{name}: levels must be 2 to 256 and every pixel below it; "
            f"got levels={levels} and a largest pixel of {largest}."
        )


def _check_continuous(name: str, images: Any, lazy: bool) -> None:
    if images.dtype != np.float32 or len(images.shape) != 4 or 0 in images.shape:
        raise ValueError(
            f"{name}: continuous images must be float32 of shape (N, H, W, C) with N >= 1; "
            f"got {images.dtype} {images.shape}."
        )
    if lazy:
        return
    low, high = images.min(), images.max()
    if not (low >= 0 and high <= 1):  # also where there is a NaN
        raise ValueError(
            f"{name}: continuous images must lie in [0, 1]; got {low:g} to {high:g}. State the "
            "range of your own numbers as `bounds` in the .npz: they are scaled by it."
        )


def check_known(what: str, value: str, known: Iterable[str]) -> None:
    """Raises ValueError, listing what is known and the nearest name, unless value is known."""
    known = tuple(known)
    if value in known:
        return
    raise ValueError(f"unknown {what} {value!r}; known: {listed(known)}.{nearest(value, known)}")
