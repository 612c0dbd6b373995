"""From encoded images to a `Dataset`: in RAM or lazy, corrupt ones left out or an error."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from scoresde_jax.data.lazy import Lazy, Store, decoded
from scoresde_jax.data.pictures import CorruptImage
from scoresde_jax.data.source import Dataset, Request, dataset

SHOWN = 5  # corrupt images that a message names


def read_dataset(
    name: str,
    images: Lazy,
    labels: np.ndarray,
    request: Request,
    *,
    levels: int | None = 256,
    classes: Iterable[str],
    bounds: tuple[float, float] = (0.0, 1.0),
) -> Dataset:
    """Decodes images into RAM if they take at most request.ram_limit bytes; else leaves them lazy.

    Lazy images are decoded here only if corrupt ones are to be skipped, to find these.

    Raises:
      CorruptImage: names and counts all corrupt images; with on_corrupt "skip", none is left.
    """
    small, skip = images.nbytes <= request.ram_limit, request.on_corrupt == "skip"
    pixels = np.empty(images.shape if small else (0,), images.dtype)
    kept, corrupt = 0, []
    good = np.ones(len(images), bool)
    if small or skip:
        for row in range(len(images)):
            try:
                image = images[row]
            except CorruptImage as error:
                corrupt.append(str(error))
                good[row] = False
                continue
            if small:
                pixels[kept] = image
            kept += 1
    if corrupt and (not skip or not kept):
        raise CorruptImage(_report(name, corrupt, len(images)))
    rest: Any = pixels[:kept]
    if not small:
        rest = Lazy(images.store, images.rows[good], images.decode, images.one, images.dtype)
    return dataset(
        name,
        rest,
        labels[good],
        levels=levels,
        classes=classes,
        bounds=bounds,
        skipped=corrupt,
    )


def _report(name: str, corrupt: list[str], total: int) -> str:
    more = f"\n  and {len(corrupt) - SHOWN} more" if len(corrupt) > SHOWN else ""
    return (
        f"{name}: {len(corrupt)} of {total} images cannot be read:\n  "
        + "\n  ".join(corrupt[:SHOWN])
        + more
        + "\nReplace or remove them, or leave them out: on_corrupt 'skip'."
    )


def first_shape(store: Store, decode: Callable[[Any], np.ndarray]) -> tuple[int, int, int]:
    """Shape of the first image that can be decoded; (H, W, C).

    Raises:
      CorruptImage: none can.
    """
    problems = []
    for place in range(len(store)):
        try:
            height, width, channels = decoded(store, place, decode).shape
            return height, width, channels
        except CorruptImage as error:
            problems.append(str(error))
    raise CorruptImage(_report("the source", problems, len(store)))
