"""Grey levels to real numbers and back, inside the compiled step.

Two conventions say what a real number x in [0, 1] means.  A model is trained in one of them, and
its samples are read in the same one:

    trained on                          x of level v                 level of x
    quantized_unit (2021 training)      v / (levels - 1)             nearest_level: nearest
    dequantize     (likelihoods)        (v + u) / levels, 0 < u < 1  to_levels: floor(levels x)

`nearest_level` on dequantised data is wrong by one level for half of the nearly black or nearly
white pixels; `to_levels` on `quantized_unit` data lowers a nearly black pixel, and raises a nearly
white one, at the slightest error in x.  `to_uint8` gives what a screen shows.  `center` and
`uncenter` map [0, 1] to [-1, 1] and back, for networks and priors that want zero mean.

Keys are one per example, (B,) typed, so an example's randomness never depends on its batch mates:
`jax.random.split(key, B)` in training, `jax.vmap(jax.random.fold_in, (None, 0))(key, index)` in
evaluation.  No key may serve both `random_flip` and `dequantize`.
"""

import jax
import jax.numpy as jnp
import numpy as np

from scoresde_jax.types import Array


def quantized_unit(images: Array, *, levels: int) -> Array:
    """Scales levels to [0, 1] with both ends reached: x = v / (levels - 1).

    Args:
      images: (B, H, W, C) integers in 0 .. levels-1.
    """
    return images.astype(jnp.float32) / (levels - 1)


def nearest_level(x: Array, *, levels: int) -> Array:
    """Returns the level nearest to x: round((levels - 1) x); undoes `quantized_unit`.

    Returns:
      (B, H, W, C) uint8, clipped to 0 .. levels-1.
    """
    return jnp.round(jnp.clip(x, 0, 1) * (levels - 1)).astype(jnp.uint8)


def dequantize(keys: Array, images: Array, *, levels: int) -> Array:
    """Spreads each level evenly over its share of [0, 1): x = (v + u) / levels, u ~ U(0, 1).

    E_u log p(x) - dims log(levels) <= log P(image), so a density of x bounds the likelihood of the
    image from below (Theis et al. 2016).

    u is an odd multiple of 2^-16: its mean is exactly 1/2, v + u is exact in float32, and x never
    rounds up into the next level, as 1 bright pixel in 10^5 does with a 23-bit u.

    Args:
      keys: (B,) typed.
      images: (B, H, W, C) integers in 0 .. levels-1.
    """
    bits = jax.vmap(lambda key: jax.random.bits(key, images.shape[1:], jnp.uint16))(keys)
    u = (bits | 1).astype(jnp.float32) * 2**-16
    return (images.astype(jnp.float32) + u) / levels


def to_levels(x: Array, *, levels: int) -> Array:
    """Returns the level whose share of [0, 1) holds x: floor(levels x); undoes `dequantize`.

    Returns:
      (B, H, W, C) uint8, clipped to 0 .. levels-1.
    """
    return jnp.clip(jnp.floor(x * levels), 0, levels - 1).astype(jnp.uint8)


def random_flip(keys: Array, images: Array) -> Array:
    """Mirrors each image left to right with probability 1/2.

    Args:
      keys: (B,) typed.
      images: (B, H, W, C) of any dtype.
    """
    flip = jax.vmap(jax.random.bernoulli)(keys)
    return jnp.where(flip[:, None, None, None], images[:, :, ::-1], images)


def center(x: Array) -> Array:
    """Maps [0, 1] to [-1, 1]: 2 x - 1."""
    return 2 * x - 1


def uncenter(x: Array) -> Array:
    """Maps [-1, 1] to [0, 1]: (x + 1) / 2."""
    return (x + 1) / 2


def to_uint8(x: Array) -> Array:
    """Returns pixels for a file or screen: round(255 x), clipped.

    The 2021 code truncates here and so darkens its samples by half a level.

    Args:
      x: (..., H, W, C) in [0, 1], in either convention; for the very levels of dequantised
        8-bit data take `to_levels(x, levels=256)`.
    """
    return nearest_level(x, levels=256)


def pixels(images: np.ndarray, *, levels: int | None) -> np.ndarray:
    """Images as stored, as pixels for a file or screen.

    Args:
      images: (..., H, W, C), 0 .. levels-1; continuous in [0, 1] where levels is None.
      levels: grey levels of the data, None for continuous data.

    Returns:
      (..., H, W, C) uint8.
    """
    return np.asarray(to_uint8(jnp.asarray(images) / ((levels or 2) - 1)))
