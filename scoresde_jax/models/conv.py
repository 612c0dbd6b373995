"""The convolution under every ``Conv`` of this package: XLA's own, differentiated faster on CPU.

XLA:CPU computes the weight gradient of a 3x3 convolution at 0.2-0.3 of the machine's peak when the
batch holds many pixels, and at 0.55-0.6 when it is given the batch in pieces of about
`PIXELS_PER_CHUNK` pixels (jaxlib 0.10.2).  The derivative rule here therefore reads

    d conv(x, w) = conv(dx, w) + interleave_chunks conv(x_chunk, dw)

whose transpose with respect to w is a sum of per-chunk weight gradients.  Values, and derivatives
of every order and mode, are those of ``jax.lax.conv_general_dilated``; on accelerators it is called
directly.
"""

import functools
import math

import jax
import jax.numpy as jnp
from jax import lax
from jax.custom_derivatives import SymbolicZero

from scoresde_jax.types import Array

# Measured on a 2-core CPU, (B, H, W, C) = (128, 8, 8, 64) to (8, 32, 32, 128); flat within 2x.
PIXELS_PER_CHUNK = 1400


def conv_general_dilated(lhs: Array, rhs: Array, window_strides, padding, **kwargs) -> Array:
    """Convolves like ``lax.conv_general_dilated``; for ``nn.Conv(conv_general_dilated=...)``.

    Args:
      lhs: (B, ...) input, the batch dimension first.
      rhs: kernel.
      window_strides: as in lax.
      padding: as in lax.
      **kwargs: the remaining keywords of lax, handed on unchanged.

    Returns:
      The convolution, laid out as lax would.
    """
    conv = functools.partial(
        lax.conv_general_dilated, window_strides=window_strides, padding=padding, **kwargs
    )
    if jax.default_backend() != "cpu":
        return conv(lhs, rhs)
    return _chunked(conv, lhs, rhs)


def chunk_count(batch: int, pixels_per_example: int, devices: int) -> int:
    """How many pieces bring the pixels in one nearest to `PIXELS_PER_CHUNK`; divides `batch`.

    Where the batch is split over devices, a piece is a device's share of it.
    """
    batch = batch // devices if batch % devices == 0 else batch
    divisors = [d for d in range(1, batch + 1) if batch % d == 0]
    pixels = batch * pixels_per_example
    return min(divisors, key=lambda d: abs(math.log(pixels / d / PIXELS_PER_CHUNK)))


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _chunked(conv, x: Array, w: Array) -> Array:
    return conv(x, w)


def _chunked_jvp(conv, primals, tangents):
    x, w = primals
    dx, dw = tangents
    y = _chunked(conv, x, w)
    dy = jnp.zeros_like(y)
    if not isinstance(dx, SymbolicZero):
        dy = _chunked(conv, dx, w)
    if not isinstance(dw, SymbolicZero):
        chunks = chunk_count(x.shape[0], math.prod(y.shape[1:-1]), jax.local_device_count())
        # Every chunks-th example, so that each device has a share of every piece.
        pieces = x.reshape(-1, chunks, *x.shape[1:])
        pieces = [_chunked(conv, pieces[:, i], dw) for i in range(chunks)]
        dy = dy + jnp.stack(pieces, axis=1).reshape(y.shape)
    return y, dy


_chunked.defjvp(_chunked_jvp, symbolic_zeros=True)
