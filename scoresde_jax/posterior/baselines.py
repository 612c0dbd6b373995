"""Restorations without a model, which solvers are held beside, and what a measurement looks like.

A^+ y                       the smallest image: grey, or 0, where nothing is known
m + A^+ (y - A m)           the one nearest to an image m, as that of the mean colour
the nearest known pixel     of masks; of a small image its enlargement by whole pixels

A function x -> y has no A^+: what it measures is a restoration if it is an image, and m else.
"""

import jax
import jax.numpy as jnp
import numpy as np
from scipy import ndimage

from scoresde_jax.posterior.operators import (
    LinearOperator,
    Mask,
    Operator,
    check_operator,
    forward_of,
    pseudo_inverse,
)
from scoresde_jax.types import Array


def picture_of(
    operator: Operator,
    y: Array,
    image_shape: tuple[int, ...],
    *,
    low: float = -1.0,
    high: float = 1.0,
) -> Array:
    """A measurement as an image (B, H, W, C): its pixels enlarged if it is one, else A^+ y.

    Of a function that makes no image, only something to look at: the numbers of each y by rank, the
    smallest black (low), the largest white (high), spread over the image as they lie in y.
    """
    if not measures_pictures(operator, image_shape):
        if isinstance(operator, LinearOperator):
            return pseudo_inverse(operator, y)
        return low + (high - low) * _by_rank(y, image_shape)
    down, right = image_shape[0] // y.shape[1], image_shape[1] // y.shape[2]
    picture = jnp.repeat(jnp.repeat(y, down, axis=1), right, axis=2)
    return jnp.broadcast_to(picture, (y.shape[0], *image_shape))


def measures_pictures(operator: Operator, image_shape: tuple[int, ...]) -> bool:
    """Whether y is an image too: small, blurred or grey."""
    shape = check_operator(operator, (1, *image_shape))[1:]
    if len(shape) != 3 or shape[2] not in (1, image_shape[2]):
        return False
    whole = all(n % m == 0 for n, m in zip(image_shape[:2], shape[:2], strict=True))
    return whole and bool(
        jnp.allclose(forward_of(operator)(jnp.ones((1, *image_shape))), 1, atol=1e-5)
    )


def nearest(operator: Operator, y: Array, image_shape: tuple[int, ...]) -> Array:
    """For each pixel the nearest that was measured, (B, H, W, C); else as `picture_of`."""
    if not isinstance(operator, Mask):
        return picture_of(operator, y, image_shape)
    known = np.asarray(operator.known.mask)
    x = operator.adjoint(y)
    filled = []
    for channel in range(known.shape[2]):
        missing = ~known[..., channel]
        places = ndimage.distance_transform_edt(
            missing, return_distances=False, return_indices=True
        )
        rows, columns = np.asarray(places)
        filled.append(x[:, rows, columns, channel])
    return jnp.stack(filled, axis=-1)


def closest_to(operator: Operator, y: Array, image: Array) -> Array:
    """m + A^+ (y - A m), of a function m, for an image m (1, H, W, C): (B, H, W, C)."""
    if not isinstance(operator, LinearOperator):
        return jnp.repeat(image, y.shape[0], axis=0)
    return image + pseudo_inverse(operator, y - operator.forward(image))


def _by_rank(y: Array, image_shape: tuple[int, ...]) -> Array:
    """Ranks in [0, 1]; grey if y is not made of channels as the image is."""
    batch = y.shape[0]
    if y.ndim != 4 or y.shape[3] != image_shape[2]:
        return jnp.full((batch, *image_shape), 0.5)
    flat = y.reshape(batch, -1)
    ranks = jnp.argsort(jnp.argsort(flat, axis=1), axis=1) / max(flat.shape[1] - 1, 1)
    return jax.image.resize(ranks.reshape(y.shape), (batch, *image_shape), "nearest")
