"""The real Fourier transform that is its own inverse: Hartley's, h = Re F - Im F.

Its basis cos + sin is orthonormal, and diagonalizes every A^T A that the Fourier basis does, if
A is real: F_k and F_-k are conjugates, h_k and h_-k their real and imaginary parts at 45 degrees.
"""

import jax.numpy as jnp

from scoresde_jax.types import Array


def hartley(x: Array) -> Array:
    """Over height and width of (B, H, W, C); orthonormal, symmetric, its own inverse."""
    f = fourier(x)
    return jnp.real(f) - jnp.imag(f)


def fourier(x: Array) -> Array:
    """The unitary Fourier transform over height and width, complex."""
    return jnp.fft.fft2(x, axes=(1, 2), norm="ortho")


def real_inverse_fourier(f: Array) -> Array:
    """The real part of its inverse: the adjoint of `fourier` on real images."""
    return jnp.real(jnp.fft.ifft2(f, axes=(1, 2), norm="ortho"))
