"""A grey image: A is the mean of the three channels, y (B, H, W, 1).

In the coordinates of `decouple_gray`, grey and two colours, s = 1 / sqrt(3), 0, 0.
"""

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np

from scoresde_jax.posterior.operators.linear import Spectral, check_image
from scoresde_jax.posterior.replacement import decouple_gray, recouple_gray
from scoresde_jax.types import Array, register_pytree


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


def _first(c: Array) -> Array:
    return c[..., :1]


def _padded(y: Array) -> Array:
    return jnp.pad(y, [(0, 0)] * 3 + [(0, 2)])
