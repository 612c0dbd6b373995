"""Resampling images by two: FIR filters, nearest neighbour, mean; alone or with a convolution.

    y = keep every down-th pixel of  k * pad(stuff up-1 zeros after every pixel of x)

where * is true convolution (the kernel is flipped) and borders are zeros.  Filters are sums of
shifted images, one axis at a time where the kernel is an outer product: on CPU that is 20 to 50
times faster than a depthwise convolution, and accelerators fuse it.

Kernels are given unnormalised, 1-D (an outer product with itself is meant) or 2-D; they are scaled
to sum to one, and upsampling multiplies by factor^2 so that a constant image keeps its value.
(Karras et al. 2020, StyleGAN2; Song et al. 2021, App. H: "FIR" of Zhang 2019 with [1, 3, 3, 1].)
"""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jax import lax

from scoresde_jax.models.conv import conv_general_dilated
from scoresde_jax.types import Array

Kernel = Sequence[float] | np.ndarray
Pair = tuple[int, int]

CHANNELS_LAST = ("NHWC", "HWIO", "NHWC")


def upfirdn(x: Array, kernel: Kernel, *, up: int = 1, down: int = 1, pad: Pair = (0, 0)) -> Array:
    """Zero-stuffs, pads, filters and subsamples both axes alike.

    Args:
      x: (B, H, W, C).
      kernel: (K,) or (K, K), used as given.
      up: zeros are stuffed to this multiple of the size.
      down: every `down`-th pixel of the result is kept.
      pad: zeros before and after each axis; negative values crop.

    Returns:
      (B, H', W', C) with H' = (up H + pad[0] + pad[1] - K) // down + 1.
    """
    taps = np.asarray(kernel, np.float32)
    if taps.ndim == 2:
        return _filter(x, taps, (up, up), (down, down), (pad, pad))
    x = _filter(x, taps[None, :], (1, up), (1, down), ((0, 0), pad))
    return _filter(x, taps[:, None], (up, 1), (down, 1), (pad, (0, 0)))


def _filter(x: Array, taps: np.ndarray, up: Pair, down: Pair, pad: tuple[Pair, Pair]) -> Array:
    """`upfirdn` with a (Ky, Kx) kernel and a setting per axis."""
    edges = [(low, high + u - 1, u - 1) for u, (low, high) in zip(up, pad, strict=True)]
    x = lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), *edges, (0, 0, 0)])
    batch, height, width, channels = x.shape
    rows, columns = height - taps.shape[0] + 1, width - taps.shape[1] + 1
    y = jnp.zeros((), x.dtype)
    for (i, j), tap in np.ndenumerate(taps[::-1, ::-1]):
        stop = (batch, i + rows, j + columns, channels)
        # A Python float leaves the dtype of x alone.
        y = y + float(tap) * lax.slice(x, (0, i, j, 0), stop, (1, *down, 1))
    return y


def _normalized(kernel: Kernel, gain: float = 1.0) -> np.ndarray:
    """The kernel scaled so that its 2-D form sums to `gain`."""
    taps = np.asarray(kernel, np.float32)
    return taps / taps.sum() * np.float32(gain ** (taps.ndim / 2))


def fir_upsample(x: Array, kernel: Kernel, factor: int = 2) -> Array:
    """Enlarges by zero-stuffing and low-pass filtering.

    Args:
      x: (B, H, W, C).
      kernel: (K,) or (K, K), unnormalised.
      factor: integer magnification.

    Returns:
      (B, factor H, factor W, C).
    """
    excess = len(kernel) - factor
    pad = ((excess + 1) // 2 + factor - 1, excess // 2)
    return upfirdn(x, _normalized(kernel, factor**2), up=factor, pad=pad)


def fir_downsample(x: Array, kernel: Kernel, factor: int = 2) -> Array:
    """Shrinks by low-pass filtering and keeping every factor-th pixel.

    Args:
      x: (B, H, W, C).
      kernel: (K,) or (K, K), unnormalised.
      factor: integer reduction.

    Returns:
      (B, H / factor, W / factor, C).
    """
    excess = len(kernel) - factor
    pad = ((excess + 1) // 2, excess // 2)
    return upfirdn(x, _normalized(kernel), down=factor, pad=pad)


def upsample_conv(x: Array, w: Array, kernel: Kernel, factor: int = 2) -> Array:
    """Enlarges like `fir_upsample`, then convolves, with one border of zeros around x for both.

    The 2021 code runs the transposed convolution first; shift-invariant filters commute, and this
    order spares XLA:CPU a dilated convolution.

    Args:
      x: (B, H, W, C).
      w: (K', K', C, D) convolution kernel.
      kernel: (K,) or (K, K), unnormalised.
      factor: integer magnification.

    Returns:
      (B, factor H, factor W, D) where factor is 2 and K' is 3.
    """
    reach = w.shape[0] - 1
    excess = len(kernel) - factor - reach
    pad = ((excess + 1) // 2 + factor - 1 + reach, excess // 2 + 1 + reach - (factor - 1))
    x = upfirdn(x, _normalized(kernel, factor**2), up=factor, pad=pad)
    return conv_general_dilated(x, w, (1, 1), "VALID", dimension_numbers=CHANNELS_LAST)


def conv_downsample(x: Array, w: Array, kernel: Kernel, factor: int = 2) -> Array:
    """Low-pass filters, then convolves with stride `factor`.

    Args:
      x: (B, H, W, C).
      w: (K', K', C, D) convolution kernel.
      kernel: (K,) or (K, K), unnormalised.
      factor: integer reduction.

    Returns:
      (B, H / factor, W / factor, D).
    """
    excess = len(kernel) - factor + w.shape[0] - 1
    x = upfirdn(x, _normalized(kernel), pad=((excess + 1) // 2, excess // 2))
    return conv_general_dilated(x, w, (factor, factor), "VALID", dimension_numbers=CHANNELS_LAST)


def nearest_upsample(x: Array, factor: int = 2) -> Array:
    """Repeats every pixel: (B, H, W, C) -> (B, factor H, factor W, C)."""
    batch, height, width, channels = x.shape
    x = jnp.broadcast_to(
        x[:, :, None, :, None, :], (batch, height, factor, width, factor, channels)
    )
    return x.reshape(batch, height * factor, width * factor, channels)


def mean_downsample(x: Array, factor: int = 2) -> Array:
    """Averages blocks of pixels: (B, H, W, C) -> (B, H / factor, W / factor, C)."""
    batch, height, width, channels = x.shape
    x = x.reshape(batch, height // factor, factor, width // factor, factor, channels)
    return x.mean(axis=(2, 4))
