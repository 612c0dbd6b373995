"""Pictures that a user hands in: a file in any format of PIL, or arrays as data sets have them."""

import os
from pathlib import Path

import numpy as np

from scoresde_jax.data import arrays, pictures


def given_images(path: str | os.PathLike, most: int | None = None) -> tuple[np.ndarray, int]:
    """The first pictures of a file, (N, H, W, C) float32, black 0 to white 1, and how many it has.

    A .npy or .npz file holds them as in `arrays` (uint8 with "levels" stated if not 256, or floats
    within "bounds"), or is one picture, (H, W) or (H, W, C). No size is changed.

    Raises:
      ValueError: there is no such file, or no picture in it.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise ValueError(f"{path} is no file; give a picture, or pictures as .npy or .npz.")
    if path.suffix.lower() in (".npy", ".npz"):
        return _of_array(path, most)
    try:
        found = pictures.picture(path.read_bytes(), fit=pictures.square, size=None, channels=None)
    except (OSError, pictures.CorruptImage, pictures.UnsuitableImage) as error:
        raise ValueError(f"{path}: {error}.") from error
    return found[None].astype(np.float32) / 255, 1


def _of_array(path: Path, most: int | None) -> tuple[np.ndarray, int]:
    images, levels, bounds = arrays.plain_array(path)
    if images.ndim == 2 or (images.ndim == 3 and images.shape[2] in (1, 3)):
        images = images[None]
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4 or images.shape[3] not in (1, 3) or not len(images):
        raise ValueError(f"{path}: pictures are (N, H, W, 1 or 3); these are {images.shape}.")
    count, images = len(images), images[:most]
    low, high = (0, levels - 1) if images.dtype == np.uint8 else bounds
    if images.dtype != np.uint8 and images.dtype.kind != "f":
        raise ValueError(f"{path}: pictures are uint8 or floats; these are {images.dtype}.")
    if not (images.min() >= low and images.max() <= high):  # also where there is a NaN
        raise ValueError(
            f"{path}: values are from {images.min():g} to {images.max():g}, outside {low:g} to "
            f"{high:g}; state 'bounds' of floats, or 'levels' of uint8, in a .npz (docs/data.md)."
        )
    return ((images.astype(np.float64) - low) / (high - low)).astype(np.float32), count
