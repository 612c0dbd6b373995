"""Images that are decoded when they are asked for: indexed like an array, in bounded memory.

`Lazy` is a place where encoded images are kept (`stores`), which of them are meant, and how one is
decoded. It can be sent to worker processes: it holds names and places, no open files, no pixels.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from scoresde_jax.data.pictures import CorruptImage, UnsuitableImage


class Store(Protocol):
    """Where encoded images are kept."""

    def read(self, place: int) -> Any:
        """The encoded image; raises CorruptImage if what is stored is damaged."""
        ...

    def name(self, place: int) -> str:
        """Where it is, for messages."""
        ...

    def __len__(self) -> int: ...


@dataclass(frozen=True)
class Lazy:
    """Images of a store, in the order of `rows`."""

    store: Store
    rows: np.ndarray  # (N,) places in the store
    decode: Callable[[Any], np.ndarray]  # what the store reads -> (H, W, C)
    one: tuple[int, int, int]  # shape of one image
    dtype: np.dtype = np.dtype(np.uint8)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(N, H, W, C)."""
        return (len(self.rows), *self.one)

    @property
    def nbytes(self) -> int:
        """What the decoded images would take."""
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Any) -> np.ndarray:
        """Decodes image number i; or those of a slice or of an array of indices, (B, H, W, C).

        Raises:
          CorruptImage, UnsuitableImage: names the image and says why.
        """
        places = self.rows[index]
        if np.ndim(places) == 0:
            return decoded(self.store, int(places), self.decode, self.one)
        images = np.empty((*np.shape(places), *self.one), self.dtype)
        for position in np.ndindex(np.shape(places)):
            images[position] = decoded(self.store, int(places[position]), self.decode, self.one)
        return images

    def __array__(self, *_: Any, **__: Any) -> np.ndarray:
        raise TypeError(
            f"these {len(self)} images are decoded when asked for, as they would take "
            f"{self.nbytes / 1e9:.1f} GB of RAM; index those that you need, images[rows], or load "
            "them with a larger ram_limit."
        )


def decoded(
    store: Store,
    place: int,
    decode: Callable[[Any], np.ndarray],
    shape: tuple[int, ...] | None = None,
) -> np.ndarray:
    """Decodes one image of a store; what is wrong with it is raised with its name.

    Raises:
      CorruptImage: it is damaged.
      UnsuitableImage: it is not what was asked for, or has another shape.
    """
    try:
        image = decode(store.read(place))
    except (CorruptImage, UnsuitableImage) as error:
        raise type(error)(f"{store.name(place)}: {error}") from error
    if shape is not None and image.shape != shape:
        raise UnsuitableImage(
            f"{store.name(place)} is {size_of(image.shape)}, and {size_of(shape)} was expected; "
            "images must all have one size, or be cut to one: set image_size."
        )
    return image


def size_of(shape: tuple[int, ...]) -> str:
    """A shape (H, W, C) in words."""
    return f"{shape[1]} x {shape[0]} pixels with {shape[2]} channel{'s' * (shape[2] != 1)}"
