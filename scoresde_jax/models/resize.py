"""Bilinear resizing as TensorFlow 1 did it, which FID's network expects.

    y_j = (1 - w) x_i + w x_(i+1),   i = floor(j n / size),   w = j n / size - i,   i + 1 <= n - 1

along each axis of length n (`tf.image.resize_bilinear` with align_corners=False, before
half-pixel centres).  First pixels coincide, so that what is enlarged moves towards the origin by
up to half a pixel; nothing is filtered, so that most pixels of a large image have no part in a
small one.  Other programs do otherwise, and other FIDs come of it (Parmar et al. 2022, "On Aliased
Resizing and Surprising Subtleties in GAN Evaluation").
"""

import jax.numpy as jnp
import numpy as np

from scoresde_jax.types import Array


def resize_tf1(images: Array, size: int) -> Array:
    """Resizes to a square, columns first and then rows, in float32.

    Args:
      images: (B, H, W, C) of any number type.
      size: pixels a side.

    Returns:
      (B, size, size, C) in the units of `images`, not rounded.
    """
    return _interpolated(_interpolated(jnp.asarray(images, jnp.float32), 2, size), 1, size)


def _interpolated(x: Array, axis: int, size: int) -> Array:
    """One axis of (B, H, W, C)."""
    length = x.shape[axis]
    # In float32, as there: positions that should be whole may fall just below.
    positions = np.arange(size, dtype=np.float32) * np.float32(length / size)
    low = np.minimum(positions.astype(np.int32), length - 1)
    weight = (positions - low).reshape([-1 if i == axis else 1 for i in range(x.ndim)])
    below = jnp.take(x, low, axis, mode="clip")
    above = jnp.take(x, np.minimum(low + 1, length - 1), axis, mode="clip")
    return below + weight * (above - below)
