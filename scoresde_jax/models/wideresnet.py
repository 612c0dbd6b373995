"""The noise-conditional Wide ResNet of Song et al. 2021, App. I: log p_t(y | x) for guidance.

    logits = WideResNet(classes)(x, sigma)

Wide ResNet 28-10 (Zagoruyko & Komodakis 2016) with group normalization, Fourier features of
log sigma added within every block, and skips without parameters: where a group is wider than the
one before, averaged over the stride and filled up with channels of zeros.

Not here: the small classifier of digits (`classifier.py`).
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from scoresde_jax.models.conv import conv_general_dilated
from scoresde_jax.models.embedding import GaussianFourierProjection
from scoresde_jax.types import Array

STEM = 16  # channels of the first convolution; groups have 1, 2, 4 times as many, times the width
FREQUENCIES = 128  # of log sigma
FOURIER_SCALE = 16.0  # as in 2021, for sigma from 0.01 to 50


class WideResNet(nn.Module):
    """Three groups of residual blocks, of full, half and quarter size.

    Attributes:
      classes: logits out.
      blocks_per_group: 4 for 28 layers.
      width: channels of the groups are STEM times this, and two and four times as many.
    """

    classes: int = 10
    blocks_per_group: int = 4
    width: int = 10

    @nn.compact
    def __call__(self, x: Array, sigma: Array) -> Array:
        """Maps images (B, H, W, C) of noise sigma (B,) to logits (B, classes)."""
        temb = GaussianFourierProjection(FREQUENCIES, FOURIER_SCALE)(jnp.log(sigma))
        temb = nn.Dense(4 * FREQUENCIES)(temb)
        temb = nn.Dense(4 * FREQUENCIES)(nn.swish(temb))
        h = _conv(STEM)(_standardized(x))
        for group in range(3):
            for i in range(self.blocks_per_group):
                stride = 2 if group and not i else 1
                channels = 2**group * STEM * self.width
                h = Block(channels, stride, activate_skip=not (group or i))(h, temb)
        h = jnp.mean(_activated(h), axis=(1, 2))
        return nn.Dense(self.classes, kernel_init=_uniform)(h)


class Block(nn.Module):
    """act, conv, add time, act, conv; and x beside it.

    Attributes:
      channels: out, at least those that come in.
      stride: of the first convolution.
      activate_skip: whether x is activated for the skip as well: in the first block.
    """

    channels: int
    stride: int
    activate_skip: bool

    @nn.compact
    def __call__(self, x: Array, temb: Array) -> Array:
        """Maps (B, H, W, C) to (B, H / stride, W / stride, channels)."""
        h = _activated(x)
        skip = h if self.activate_skip else x
        h = _conv(self.channels, self.stride)(h)
        h += nn.Dense(self.channels)(nn.swish(temb))[:, None, None, :]
        h = _conv(self.channels)(_activated(h))
        if skip.shape[-1] != self.channels:
            stride = (self.stride, self.stride)
            skip = nn.avg_pool(skip, stride, stride)
            skip = jnp.pad(skip, [(0, 0)] * 3 + [(0, self.channels - skip.shape[-1])])
        return h + skip


def _standardized(x: Array) -> Array:
    """Each image with mean 0 and standard deviation 1, whatever its noise; a flat one stays 0."""
    axes = (1, 2, 3)
    least = 1 / np.sqrt(np.prod(x.shape[1:]))
    std = jnp.std(x, axis=axes, keepdims=True)
    return (x - jnp.mean(x, axis=axes, keepdims=True)) / jnp.maximum(std, least)


def _activated(h: Array) -> Array:
    return jax.nn.relu(nn.GroupNorm(min(h.shape[-1] // 4, 32), epsilon=1e-5)(h))


def _conv(channels: int, stride: int = 1) -> nn.Conv:
    return nn.Conv(
        channels,
        (3, 3),
        strides=stride,
        use_bias=False,
        kernel_init=nn.initializers.variance_scaling(2.0, "fan_out", "normal"),  # He et al. 2015
        conv_general_dilated=conv_general_dilated,
    )


def _uniform(key: Array, shape: tuple[int, ...], dtype: jnp.dtype = jnp.float32) -> Array:
    """The last layer's weights: uniform within 1 / sqrt(classes)."""
    return jax.random.uniform(key, shape, dtype, -1.0) / np.sqrt(shape[1])
