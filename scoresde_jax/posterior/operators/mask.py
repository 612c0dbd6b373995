"""Some pixels of an image: A picks the known ones, y (B, M).

A A^T = I and A^T A holds the known pixels and clears the others, so that U = V = I, s = 0 or 1.
"""

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np

from scoresde_jax.posterior.operators.linear import Spectral, check_image, image_sizes
from scoresde_jax.posterior.operators.selection import Selection, random_choice, selection
from scoresde_jax.types import Array, register_pytree


@register_pytree
@dataclass(frozen=True)
class Mask:
    """The known pixels, or single channels of them, in the order of the flattened image."""

    known: Selection  # over (H, W, C)

    def forward(self, x: Array) -> Array:
        """The known pixels, (B, M)."""
        check_image("This mask", x, *self.known.mask.shape)
        return self.known.pick(x)

    def adjoint(self, y: Array) -> Array:
        """The image of known pixels, 0 elsewhere."""
        return self.known.place(y)

    def spectral(self) -> Spectral:
        """Coordinates are the pixels."""
        s = jnp.asarray(self.known.mask, jnp.float32)
        return Spectral(s, _same, _same, self.known.pick, self.known.place)


def mask(known: np.ndarray) -> Mask:
    """Of any shape: known (H, W, C) is True where a channel of a pixel is known.

    Raises:
      ValueError: known is not boolean, not (H, W, C), or False everywhere.
    """
    known = np.asarray(known)
    image_sizes(known.shape)
    return Mask(selection(known, "known"))


def box_mask(image_shape: tuple[int, ...], top: int, left: int, height: int, width: int) -> Mask:
    """All but a box, in pixels from the top left corner.

    Raises:
      ValueError: the box is empty, not in the image, or all of it.
    """
    rows, columns, _ = image_sizes(image_shape)
    inside = 0 <= top < top + height <= rows and 0 <= left < left + width <= columns
    if not inside:
        raise ValueError(
            f"The box from row {top}, column {left}, {height} x {width}, is not a part of an image "
            f"of {rows} x {columns}."
        )
    known = np.ones(image_shape, bool)
    known[top : top + height, left : left + width] = False
    return mask(known)


def half_mask(image_shape: tuple[int, ...], side: str = "left") -> Mask:
    """One half of the image: the side that is known, left, right, top or bottom.

    Raises:
      ValueError: there is no such side.
    """
    height, width, _ = image_sizes(image_shape)
    known = np.zeros(image_shape, bool)
    sides = {
        "left": np.s_[:, : width // 2],
        "right": np.s_[:, width // 2 :],
        "top": np.s_[: height // 2],
        "bottom": np.s_[height // 2 :],
    }
    if side not in sides:
        raise ValueError(f"side is one of {', '.join(sides)}; it is {side!r}.")
    known[sides[side]] = True
    return mask(known)


def random_mask(image_shape: tuple[int, ...], share: float, seed: int = 0) -> Mask:
    """A share of the pixels, all channels of each, drawn at random.

    Raises:
      ValueError: share is not in (0, 1].
    """
    height, width, _ = image_sizes(image_shape)
    pixels = random_choice(height * width, share, seed).reshape(height, width, 1)
    return mask(np.broadcast_to(pixels, image_shape).copy())


def _same(x: Array) -> Array:
    return x
