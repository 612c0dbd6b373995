"""From nats to bits per dimension, and from examples to a mean with an error bar."""

import math
from typing import TypeVar

import numpy as np

from scoresde_jax.types import Array

Numbers = TypeVar("Numbers", Array, np.ndarray)


def bits_per_dim(logp: Numbers, dims: int, data_scale: float) -> Numbers:
    """Bits per dimension of the discrete data that were dequantized to x.

    With y the dequantized levels in [0, levels) and x = data_scale y + constant, p(y) = p(x)
    data_scale^dims, and -log2 p(y) / dims bounds the code length of the discrete image from above
    (Theis et al. 2016, section 3.1). A uniform density gives log2(levels).

    Args:
      logp: (B,) log-density of x, nats.
      dims: numbers in one x.
      data_scale: dx / dy; 2 / levels for data scaled to [-1, 1], 1 / levels for [0, 1].

    Returns:
      (B,) bits per dimension.
    """
    return -(logp / dims + math.log(data_scale)) / math.log(2.0)


def mean_and_standard_error(values: np.ndarray) -> tuple[float, float]:
    """Mean over examples and its standard error; the error is NaN for fewer than two."""
    values = np.asarray(values, np.float64)
    if values.size < 2:
        return float(values.mean()), math.nan
    return float(values.mean()), float(values.std(ddof=1) / math.sqrt(values.size))
