"""One matrix for the columns of an image and one for its rows: y = R x C^T, each channel alike.

The singular vectors are products of those of R and C, the singular values too.
"""

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np

from scoresde_jax.posterior.operators.linear import Spectral, check_factor, check_image
from scoresde_jax.types import Array, register_pytree


@register_pytree
@dataclass(frozen=True)
class Factor:
    """A matrix (m, n) along one axis, and its decomposition; m <= n."""

    matrix: np.ndarray | Array  # (m, n)
    u: np.ndarray | Array  # (m, n), columns after the m-th 0
    s: np.ndarray | Array  # (n,), values after the m-th 0
    v: np.ndarray | Array  # (n, n)


@register_pytree
@dataclass(frozen=True)
class Separable:
    """R along the height and C along the width."""

    rows: Factor
    columns: Factor

    def forward(self, x: Array) -> Array:
        """R x C^T, (B, h, w, C)."""
        sizes = self.rows.matrix.shape[1], self.columns.matrix.shape[1], None
        check_image("This operator", x, *sizes)
        return _both(self.rows.matrix, self.columns.matrix, x)

    def adjoint(self, y: Array) -> Array:
        """R^T y C."""
        return _both(self.rows.matrix.T, self.columns.matrix.T, y)

    def spectral(self) -> Spectral:
        """Coordinates (B, H, W, C)."""
        rows, columns = self.rows, self.columns
        s = jnp.asarray(rows.s)[:, None, None] * jnp.asarray(columns.s)[:, None]
        return Spectral(
            s,
            lambda c: _both(rows.v, columns.v, c),
            lambda x: _both(rows.v.T, columns.v.T, x),
            lambda c: _both(rows.u, columns.u, c),
            lambda y: _both(rows.u.T, columns.u.T, y),
        )


def factor_of(matrix: np.ndarray) -> Factor:
    """Decomposes a matrix (m, n), m <= n, in float64."""
    m, n = matrix.shape
    u, s, vt = np.linalg.svd(matrix.astype(np.float64))
    padded = np.pad(u, [(0, 0), (0, n - m)]), np.pad(s, (0, n - m)), vt.T
    return Factor(*(a.astype(np.float32) for a in (matrix, *padded)))


def bicubic(image_shape: tuple[int, ...], factor: int) -> Separable:
    """A small image by cubic interpolation, widened so that it does not alias.

    Keys' kernel with a = -1/2, stretched by factor, its weights made to sum to 1 at the border:
    the "bicubic" of MATLAB and Pillow inside the image, of Pillow also at the border.

    Raises:
      ValueError: factor is less than 2, or does not divide height and width.
    """
    height, width = check_factor(image_shape, factor)
    return Separable(*(factor_of(_cubic_matrix(size, factor)) for size in (height, width)))


def _cubic_matrix(size: int, factor: int) -> np.ndarray:
    """(size / factor, size) weights of the pixels of a line."""
    centres = (np.arange(size // factor) + 0.5) * factor - 0.5
    weight = _keys(np.abs(centres[:, None] - np.arange(size)) / factor)
    return weight / weight.sum(axis=1, keepdims=True)


def _keys(d: np.ndarray) -> np.ndarray:
    """Keys 1981, the cubic convolution kernel with a = -1/2, at distances d >= 0."""
    near = (1.5 * d - 2.5) * d**2 + 1
    far = ((-0.5 * d + 2.5) * d - 4) * d + 2
    return np.where(d < 1, near, np.where(d < 2, far, 0.0))


def _both(rows: np.ndarray | Array, columns: np.ndarray | Array, x: Array) -> Array:
    return jnp.einsum("ih,bhwc,jw->bijc", rows, x, columns)
