"""A small image by the means of square blocks: y (B, H / factor, W / factor, C).

s = 1 / factor for the block's constant, and 0 for all that is orthogonal to it.
"""

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np

from scoresde_jax.posterior.operators.linear import Spectral, check_factor, check_image
from scoresde_jax.types import Array, register_pytree


@register_pytree
@dataclass(frozen=True)
class Average:
    """Block means. The basis of a block has its constant in the first column."""

    basis: np.ndarray | Array  # (factor^2, factor^2), orthogonal

    @property
    def factor(self) -> int:
        """Pixels along the side of a block."""
        return round(self.basis.shape[0] ** 0.5)

    def forward(self, x: Array) -> Array:
        """The mean of each block."""
        return jnp.mean(self._blocks(x), axis=-1)

    def adjoint(self, y: Array) -> Array:
        """y / factor^2 in every pixel of a block."""
        spread = jnp.repeat(jnp.repeat(y, self.factor, axis=1), self.factor, axis=2)
        return spread / self.factor**2

    def spectral(self) -> Spectral:
        """Coordinates (B, H / factor, W / factor, C, factor^2)."""
        basis = jnp.asarray(self.basis)
        s = jnp.zeros(len(basis)).at[0].set(1 / self.factor)

        def v(c: Array) -> Array:
            return self._image(c @ basis.T)

        def vt(x: Array) -> Array:
            return self._blocks(x) @ basis

        def ut(y: Array) -> Array:
            return jnp.pad(y[..., None], [(0, 0)] * 4 + [(0, len(basis) - 1)])

        return Spectral(s, v, vt, _first, ut)

    def _blocks(self, x: Array) -> Array:
        """(B, H, W, C) -> (B, H / f, W / f, C, f^2)."""
        f = self.factor
        check_image("Average", x, None, None, None)
        batch, height, width, channels = x.shape
        if height % f or width % f:
            raise ValueError(
                f"Blocks of {f} x {f} do not fill an image of {height} x {width}; crop it, or take "
                "a factor that divides both."
            )
        x = x.reshape(batch, height // f, f, width // f, f, channels)
        return x.transpose(0, 1, 3, 5, 2, 4).reshape(batch, height // f, width // f, channels, f**2)

    def _image(self, blocks: Array) -> Array:
        f = self.factor
        batch, height, width, channels, _ = blocks.shape
        x = blocks.reshape(batch, height, width, channels, f, f).transpose(0, 1, 4, 2, 5, 3)
        return x.reshape(batch, height * f, width * f, channels)


def average(image_shape: tuple[int, ...], factor: int) -> Average:
    """Means of blocks of factor x factor pixels.

    Raises:
      ValueError: factor is less than 2, or does not divide height and width.
    """
    check_factor(image_shape, factor)
    # The reflection that takes the first unit vector to the constant (Householder).
    constant = np.full(factor**2, 1 / factor)
    normal = np.eye(factor**2)[0] - constant
    basis = np.eye(factor**2) - 2 * np.outer(normal, normal) / (normal @ normal)
    return Average(basis.astype(np.float32))


def _first(c: Array) -> Array:
    return c[..., 0]
