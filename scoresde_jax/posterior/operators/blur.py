"""Blur with a kernel, the image going on from the other side at its borders: y (B, H, W, C).

A = F^H diag(h) F, h the transform of the kernel. With h = |h| e^(i phi) and Hartley's basis V,
s = |h| and U = F^H diag(e^(i phi)) F V.
"""

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np

from scoresde_jax.posterior.operators.hartley import fourier, hartley, real_inverse_fourier
from scoresde_jax.posterior.operators.linear import Spectral, check_image, image_sizes
from scoresde_jax.types import Array, register_pytree

_SPLATS = 64  # points per pixel of length by which a line is drawn


@register_pytree
@dataclass(frozen=True)
class Blur:
    """Circular convolution of every channel."""

    transfer: np.ndarray | Array  # (H, W) complex64, h

    def forward(self, x: Array) -> Array:
        """The blurred image."""
        check_image("This blur", x, *self.transfer.shape, None)
        return self._filtered(x, jnp.asarray(self.transfer))

    def adjoint(self, y: Array) -> Array:
        """Blurred with the kernel turned by half a turn."""
        return self._filtered(y, jnp.conj(self.transfer))

    def spectral(self) -> Spectral:
        """Coordinates are Hartley's, (B, H, W, C)."""
        s = jnp.abs(self.transfer)
        phase = jnp.where(s > 0, self.transfer / jnp.where(s > 0, s, 1.0), 1.0)
        return Spectral(
            s[..., None],
            hartley,
            hartley,
            lambda c: self._filtered(hartley(c), phase),
            lambda y: hartley(self._filtered(y, jnp.conj(phase))),
        )

    def _filtered(self, x: Array, by: Array) -> Array:
        return real_inverse_fourier(by[..., None] * fourier(x))


def blur(image_shape: tuple[int, ...], kernel: np.ndarray) -> Blur:
    """Blur with a kernel of odd sides, its middle at the pixel itself.

    Raises:
      ValueError: the kernel is not two-dimensional, has an even side, or exceeds the image.
    """
    height, width, _ = image_sizes(image_shape)
    kernel = np.asarray(kernel, np.float64)
    if kernel.ndim != 2 or not all(side % 2 for side in kernel.shape):
        raise ValueError(f"kernel has two odd sides; it is {kernel.shape}.")
    rows, columns = kernel.shape
    if rows > height or columns > width:
        raise ValueError(
            f"A kernel of {rows} x {columns} exceeds an image of {height} x {width}; take one that "
            "is shorter."
        )
    padded = np.zeros((height, width))
    padded[:rows, :columns] = kernel
    padded = np.roll(padded, (-(rows // 2), -(columns // 2)), axis=(0, 1))
    return Blur(np.fft.fft2(padded).astype(np.complex64))


def gaussian_blur(image_shape: tuple[int, ...], std: float) -> Blur:
    """A Gaussian of a standard deviation in pixels, cut at 3 of them or at the image.

    Raises:
      ValueError: std is not positive.
    """
    height, width, _ = image_sizes(image_shape)
    if not std > 0:
        raise ValueError(f"std is in pixels and positive; it is {std}.")
    lines = []
    for side in (height, width):
        reach = min(int(np.ceil(3 * std)), (side - 1) // 2)
        line = np.exp(-0.5 * (np.arange(-reach, reach + 1) / std) ** 2)
        lines.append(line / line.sum())
    return blur(image_shape, np.outer(*lines))


def motion_blur(image_shape: tuple[int, ...], length: float, angle: float = 0.0) -> Blur:
    """Even motion along a line: length in pixels, angle in degrees from the row, anticlockwise.

    Raises:
      ValueError: length is not positive, or the line exceeds the image.
    """
    image_sizes(image_shape)
    if not length > 0:
        raise ValueError(f"length is in pixels and positive; it is {length}.")
    return blur(image_shape, _line(length, np.deg2rad(angle)))


def _line(length: float, angle: float) -> np.ndarray:
    """The kernel: many points on the line, each shared among the four pixels around it."""
    count = int(np.ceil(length * _SPLATS))
    along = ((np.arange(count) + 0.5) / count - 0.5) * length
    # Rows count downwards. Rounded, so that a line along the pixels stays on them.
    ends = np.round(np.stack([-np.sin(angle) * along, np.cos(angle) * along]), 9)
    reach = np.ceil(np.abs(ends).max(axis=1)).astype(int)
    kernel = np.zeros(2 * reach + 1)
    low = np.floor(ends)
    part = ends - low
    for down in (0, 1):
        for right in (0, 1):
            share = np.abs(1 - down - part[0]) * np.abs(1 - right - part[1])
            row, column = (low + [[down], [right]]).astype(int) + reach[:, None]
            there = share > 0
            np.add.at(kernel, (row[there], column[there]), share[there])
    return kernel / count
