"""Computed tomography: sums along parallel rays from a few angles, y (B, angles, detectors, C).

A pixel at (right, up) of the middle falls on the detector at right cos(angle) + up sin(angle), and
is shared between the two nearest, one pixel apart (pixel-driven projection, linear interpolation).
y is in units of the image's longer side: the mean along a ray right through a square.

No basis is common to such rays, so the decomposition is of the matrix itself, up to 4,096 pixels.
"""

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np

from scoresde_jax.posterior.operators.linear import Spectral, check_image, image_sizes
from scoresde_jax.types import Array, register_pytree

MOST_PIXELS = 4096  # of a dense decomposition


@register_pytree
@dataclass(frozen=True)
class Dense:
    """The decomposition of a matrix (m, n), k = min(m, n)."""

    u: np.ndarray | Array  # (m, k)
    s: np.ndarray | Array  # (n,), values after the k-th 0
    v: np.ndarray | Array  # (n, n)


@register_pytree
@dataclass(frozen=True)
class Radon:
    """Parallel rays."""

    place: np.ndarray | Array  # (angles, H, W) int32, the detector below each pixel
    part: np.ndarray | Array  # (angles, H, W), its share of the next one
    detectors: np.ndarray | Array  # (D,) positions, in pixels from the middle
    svd: Dense | None

    def forward(self, x: Array) -> Array:
        """Sums along rays."""
        angles, height, width = self.place.shape
        check_image("This operator", x, height, width, None)
        batch, channels = x.shape[0], x.shape[-1]
        pixels = jnp.moveaxis(x, 0, 2).reshape(1, height, width, -1) / max(height, width)
        part = jnp.asarray(self.part)[..., None]
        rows = jnp.arange(angles)[:, None, None]
        y = jnp.zeros((angles, len(self.detectors), pixels.shape[-1]), x.dtype)
        y = y.at[rows, self.place].add((1 - part) * pixels)
        y = y.at[rows, self.place + 1].add(part * pixels)
        return jnp.moveaxis(y.reshape(*y.shape[:2], batch, channels), 2, 0)

    def adjoint(self, y: Array) -> Array:
        """Each ray smeared back over the pixels it went through."""
        angles, height, width = self.place.shape
        rows = jnp.arange(angles)[:, None, None]
        part = jnp.asarray(self.part)[..., None]
        near, next_ = y[:, rows, self.place], y[:, rows, self.place + 1]
        return jnp.sum((1 - part) * near + part * next_, axis=1) / max(height, width)

    def spectral(self) -> Spectral | None:
        """Coordinates (B, H W, C); None for more than 4,096 pixels."""
        if self.svd is None:
            return None
        svd, (angles, height, width) = self.svd, self.place.shape
        k = svd.u.shape[1]

        def v(c: Array) -> Array:
            x = jnp.einsum("pk,bkc->bpc", svd.v, c)
            return x.reshape(x.shape[0], height, width, -1)

        def vt(x: Array) -> Array:
            return jnp.einsum("pk,bpc->bkc", svd.v, x.reshape(x.shape[0], height * width, -1))

        def u(c: Array) -> Array:
            y = jnp.einsum("mk,bkc->bmc", svd.u, c[:, :k])
            return y.reshape(y.shape[0], angles, len(self.detectors), -1)

        def ut(y: Array) -> Array:
            flat = y.reshape(y.shape[0], svd.u.shape[0], -1)
            c = jnp.einsum("mk,bmc->bkc", svd.u, flat)
            return jnp.pad(c, [(0, 0), (0, height * width - k), (0, 0)])

        return Spectral(jnp.asarray(svd.s)[:, None], v, vt, u, ut)


def radon(image_shape: tuple[int, ...], angles: int) -> Radon:
    """Rays from a number of angles, evenly over half a turn from 0.

    Decomposes the matrix for images of up to 4,096 pixels, which takes seconds from 32 x 32 on.

    Raises:
      ValueError: there is no angle.
    """
    height, width, _ = image_sizes(image_shape)
    if angles < 1:
        raise ValueError(f"angles is a number, 1 or more; it is {angles}.")
    theta = np.arange(angles)[:, None, None] * np.pi / angles
    up = ((height - 1) / 2 - np.arange(height))[:, None]
    right = np.arange(width) - (width - 1) / 2
    reach = int(np.ceil(np.hypot(height - 1, width - 1) / 2)) + 1
    position = right * np.cos(theta) + up * np.sin(theta) + reach
    place = np.floor(position)
    shares = place.astype(np.int32), (position - place).astype(np.float32)
    detectors = np.arange(-reach, reach + 1, dtype=np.float32)
    svd = _decomposed(*shares, len(detectors)) if height * width <= MOST_PIXELS else None
    return Radon(*shares, detectors, svd)


def _decomposed(place: np.ndarray, part: np.ndarray, detectors: int) -> Dense:
    """The decomposition of the matrix of one channel, in float64."""
    angles, height, width = place.shape
    pixels = height * width
    matrix = np.zeros((angles, detectors, pixels))
    index = np.arange(angles)[:, None], place.reshape(angles, -1), np.arange(pixels)
    flat = part.reshape(angles, -1).astype(np.float64) / max(height, width)
    matrix[index] = 1 / max(height, width) - flat
    matrix[index[0], index[1] + 1, index[2]] = flat
    wide = angles * detectors < pixels
    u, s, vt = np.linalg.svd(matrix.reshape(-1, pixels), full_matrices=wide)
    k = len(s)
    # What is 0 but for the rounding of the shares to float32 is 0.
    s = np.where(s > 1e-6 * s[0], s, 0.0)
    u = u[:, :k] * (s > 0)
    return Dense(*(a.astype(np.float32) for a in (u, np.pad(s, (0, pixels - k)), vt.T)))
