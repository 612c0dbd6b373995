"""Compressed sensing: some of an image's sums with signs, A = rows of a Walsh-Hadamard matrix.

y (B, M, C), the transform over all pixels of a channel in row order, divided by sqrt(H W), so that
A A^T = I: V is the transform itself, symmetric, and s = 0 or 1.
"""

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np

from scoresde_jax.posterior.operators.linear import Spectral, check_image, image_sizes
from scoresde_jax.posterior.operators.selection import Selection, random_choice, selection
from scoresde_jax.types import Array, register_pytree


@register_pytree
@dataclass(frozen=True)
class Hadamard:
    """The chosen Walsh-Hadamard coefficients, in natural order."""

    chosen: Selection  # over (H, W), row after row

    def forward(self, x: Array) -> Array:
        """The chosen coefficients."""
        check_image("This operator", x, *self.chosen.mask.shape, None)
        return self.chosen.pick(walsh_hadamard(x))

    def adjoint(self, y: Array) -> Array:
        """The image that has these coefficients and no others."""
        return walsh_hadamard(self.chosen.place(y))

    def spectral(self) -> Spectral:
        """Coordinates are the coefficients, (B, H, W, C)."""
        s = jnp.asarray(self.chosen.mask, jnp.float32)[..., None]
        return Spectral(s, walsh_hadamard, walsh_hadamard, self.chosen.pick, self.chosen.place)


def walsh_hadamard(x: Array) -> Array:
    """The orthonormal transform of each channel of (B, H, W, C); H and W are powers of 2.

    In natural order the matrix for H W pixels is the Kronecker product of those for H and for W.
    """
    rows, columns = (jnp.asarray(_matrix(size)) for size in x.shape[1:3])
    return jnp.einsum("ih,bhwc,jw->bijc", rows, x, columns)


def _matrix(size: int) -> np.ndarray:
    """Sylvester's matrix by doubling, over sqrt(size)."""
    matrix = np.ones((1, 1))
    while len(matrix) < size:
        matrix = np.kron(np.array([[1, 1], [1, -1]]), matrix)
    return (matrix / size**0.5).astype(np.float32)


def hadamard(image_shape: tuple[int, ...], share: float, seed: int = 0) -> Hadamard:
    """A share of the coefficients drawn at random, the sum of all pixels always among them.

    Raises:
      ValueError: the number of pixels is no power of 2, or share is not in (0, 1].
    """
    height, width, _ = image_sizes(image_shape)
    size = height * width
    if size & (size - 1):
        raise ValueError(
            f"A Walsh-Hadamard transform is of a power of 2 pixels; {height} x {width} is {size}."
        )
    chosen = random_choice(size, share, seed)
    if not chosen[0]:
        chosen[np.flatnonzero(chosen)[0]] = False
        chosen[0] = True
    return Hadamard(selection(chosen.reshape(height, width), "chosen"))
