"""Pictures in a folder or in a zip file: one class for each sub-folder, if there are any.

    DIR/anything/x.png                            one class
    DIR/cats/1.png      DIR/dogs/2.jpg            classes "cats", "dogs"
    DIR/train/.../1.png DIR/test/.../2.png        its own split ("val", "valid", "validation" too)

Pictures are known by the ending of their name; hidden files and other files are passed over, and so
are folders around the lot. Each picture becomes the largest centred square, scaled to image_size;
without one, all must have the same size. The order is that of the names.
"""

import os
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np

from scoresde_jax.data import pictures, splits
from scoresde_jax.data.lazy import Lazy
from scoresde_jax.data.pictures import CorruptImage, UnsuitableImage
from scoresde_jax.data.reading import read_dataset
from scoresde_jax.data.source import UNLABELLED, Dataset, Request
from scoresde_jax.data.stores import Files, Zipped, open_zip

# Packers leave these beside the pictures.
JUNK = ("__MACOSX",)


class Arrangement(NamedTuple):
    """What the names of pictures say of split and classes."""

    train: np.ndarray  # places, in order
    test: np.ndarray
    labels: np.ndarray  # (N,) of all places
    classes: tuple[str, ...]


def folder_images(path: str | os.PathLike, request: Request) -> Dataset:
    """Loads one split of the pictures in a folder or a zip file.

    Raises:
      ValueError: there is no such folder, no picture in it, pictures of several sizes and no
        image_size, a corrupt one (as CorruptImage), or one with more than 8 bits per channel.
    """
    root = Path(path).expanduser()
    store = _store(root)
    arrangement = arranged(store.names, request.test_fraction)
    size, channels = request.image_size, request.channels
    shape = (size or 0, size or 0, channels or 0)
    if not all(shape):
        found = _common_shape(store, any_size=size is not None)
        shape = (size or found[0], size or found[1], channels or found[2])
    decode = partial(pictures.picture, fit=pictures.square, size=size, channels=shape[2])
    rows = arrangement.train if request.split == "train" else arrangement.test
    return read_dataset(
        str(root),
        Lazy(store, rows, decode, shape),
        arrangement.labels[rows],
        request,
        classes=arrangement.classes,
    )


def arranged(names: tuple[str, ...], test_fraction: float) -> Arrangement:
    """Reads split and classes from names with slashes.

    A first folder that all share and that has folders in it is passed over. If every picture then
    lies in "train" or "test", that is the split; what is the first folder after that is the class,
    if every picture has one.
    """
    paths = [PurePosixPath(name).parts for name in names]
    while len({p[0] for p in paths}) == 1 and any(len(p) > 2 for p in paths):
        paths = [p[1:] for p in paths]
    tops = {p[0] for p in paths if len(p) > 1}
    own = splits.parts(tops)
    if own is None or any(len(p) == 1 for p in paths) or tops - {"train", *splits.TEST_NAMES}:
        train, test = (splits.held_out(len(names), s, test_fraction) for s in ("train", "test"))
    else:
        train, test = (
            np.flatnonzero([p[0] == own[split] for p in paths]) for split in ("train", "test")
        )
        train, test = (places[splits.shuffled(len(places))] for places in (train, test))
        paths = [p[1:] for p in paths]
    if any(len(p) == 1 for p in paths):
        return Arrangement(train, test, np.zeros(len(names), np.int32), UNLABELLED)
    classes, labels = np.unique([p[0] for p in paths], return_inverse=True)
    return Arrangement(train, test, labels.astype(np.int32), tuple(classes.tolist()))


def _store(root: Path) -> Files | Zipped:
    if root.is_dir():
        files = _walk(root)
    elif root.is_file():
        files = tuple(i.filename for i in open_zip(root).infolist() if not i.is_dir())
    else:
        raise ValueError(f"{root} is neither a folder nor a zip file; give the path of one.")
    known = pictures.suffixes()
    names = tuple(sorted(f for f in files if _visible(f) and Path(f).suffix.lower() in known))
    if not names:
        other = f"; among its {len(files)} files is {min(files)}" if files else ""
        raise ValueError(f"{root} holds no pictures (.png, .jpg, .webp ...){other}.")
    return Files(root, names) if root.is_dir() else Zipped(root, names)


def _walk(root: Path) -> tuple[str, ...]:
    """Names of all files below, through links too, but each folder once."""
    seen, files = set(), []
    for folder, below, names in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:
            below.clear()
            continue
        seen.add(real)
        below.sort()
        files += [(Path(folder) / name).relative_to(root).as_posix() for name in names]
    return tuple(files)


def _visible(name: str) -> bool:
    return not any(part.startswith(".") or part in JUNK for part in PurePosixPath(name).parts)


def _common_shape(store: Files | Zipped, *, any_size: bool) -> tuple[int, int, int]:
    """Height, width and channels of all pictures, from their headers.

    Channels are 3 if any picture has colour. Corrupt pictures are left to be found later.
    """
    sizes: dict[Any, str] = {}
    channels = 1
    for place in range(len(store)):
        try:
            header = pictures.header(store.read(place))
            size = pictures.upright_size(header)
        except CorruptImage:
            continue
        except UnsuitableImage as error:
            raise UnsuitableImage(f"{store.name(place)}: {error}") from error
        sizes.setdefault(size, store.name(place))
        channels = max(channels, pictures.own_channels(header))
        if len(sizes) > 1 and not any_size:
            (one, first), (other, second) = sizes.items()
            raise UnsuitableImage(
                f"{first} has {one[0]} x {one[1]} pixels and {second} has {other[0]} x {other[1]}; "
                "images must all have one size, or be cut to one: set image_size."
            )
    width, height = next(iter(sizes), (1, 1))  # (1, 1): none can be read, and decoding will say so
    return height, width, channels
