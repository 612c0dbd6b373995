"""Measurements that are not linear: plain functions x -> y, for DPS and SMC.

    high_dynamic_range   clip(m + gain (x - m), low, high)    m = (low + high) / 2
    phase_retrieval      |F pad(x - low)|

`low` and `high` are black and white in the network's scale. Bind all but x: `partial(...)`.
"""

import jax.numpy as jnp

from scoresde_jax.posterior.operators.linear import check_image
from scoresde_jax.types import Array

_LEAST = 1e-12  # of |.|^2, whose root has no slope at 0


def high_dynamic_range(
    x: Array, *, gain: float = 2.0, low: float = -1.0, high: float = 1.0
) -> Array:
    """A camera whose range is too small: contrast times `gain` about mid-grey, then clipped.

    y has the shape of x. With the default clip(2 x, -1, 1): what is beyond half of the range of x
    is lost.

    Raises:
      ValueError: gain is not more than 1, with which nothing would be clipped.
    """
    if not gain > 1:
        raise ValueError(f"gain is more than 1, or nothing is clipped; it is {gain}.")
    check_image("high_dynamic_range", x, None, None, None)
    middle = (low + high) / 2
    return jnp.clip(middle + gain * (x - middle), low, high)


def phase_retrieval(x: Array, *, oversampling: float = 2.0, low: float = -1.0) -> Array:
    """Magnitudes of the Fourier transform of each channel, without the phases.

    The image, black counting as 0, is put into a black one `oversampling` times as high and wide;
    y is (B, round(oversampling H), round(oversampling W) // 2 + 1, C), the half of the unitary
    transform that a real image does not repeat. An image turned by half a turn measures the same,
    as does one that is shifted within the black: draws come in all of these ways.

    Raises:
      ValueError: oversampling is less than 1.
    """
    if not oversampling >= 1:
        raise ValueError(f"oversampling is 1 or more; it is {oversampling}.")
    check_image("phase_retrieval", x, None, None, None)
    size = [round(oversampling * side) for side in x.shape[1:3]]
    transform = jnp.fft.rfft2(x - low, s=size, axes=(1, 2), norm="ortho")
    return jnp.sqrt(transform.real**2 + transform.imag**2 + _LEAST)
