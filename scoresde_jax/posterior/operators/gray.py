"""A grey image: A is the mean of the three channels, y (B, H, W, 1).

In the coordinates of `decouple_gray`, grey and two colours, s = 1 / sqrt(3), 0, 0.
"""

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np

from scoresde_jax.posterior.operators.linear import Spectral, check_image
from scoresde_jax.types import Array, register_pytree

# Columns: the grey axis, and two colours at right angles to it and to each other.
GRAY_BASIS = np.array([[1, -2, 0], [1, 1, 1], [1, 1, -1]]) / np.sqrt([3, 6, 2])


@register_pytree
@dataclass(frozen=True)
class Gray:
    """The grey value of each pixel."""

    def forward(self, x: Array) -> Array:
        """The mean of the channels."""
        check_image("Gray", x, None, None, 3)
        return jnp.mean(x, axis=-1, keepdims=True)

    def adjoint(self, y: Array) -> Array:
        """A third of y in each channel."""
        return jnp.repeat(y / 3, 3, axis=-1)

    def spectral(self) -> Spectral:
        """Coordinates are grey and two colours, (B, H, W, 3)."""
        s = np.array([3**-0.5, 0, 0], np.float32)
        return Spectral(jnp.asarray(s), recouple_gray, decouple_gray, _first, _padded)


def decouple_gray(x: Array) -> Array:
    """(B, H, W, 3) from red, green, blue to sqrt(3) times the grey value and two colours."""
    return jnp.einsum("...i,ij->...j", x, GRAY_BASIS.astype(np.float32))


def recouple_gray(y: Array) -> Array:
    """The inverse of `decouple_gray`."""
    return jnp.einsum("...j,ij->...i", y, GRAY_BASIS.astype(np.float32))


def _first(c: Array) -> Array:
    return c[..., :1]


def _padded(y: Array) -> Array:
    return jnp.pad(y, [(0, 0)] * 3 + [(0, 2)])
