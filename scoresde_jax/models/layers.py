"""The small parts that NCSN++ and DDPM are made of.

Every layer computes in the dtype of its input and keeps float32 parameters, so a network chooses
its precision by casting its input once.  Class names and the order of calls are those of the 2021
code: flax numbers parameters by them (``Conv_0``, ``NIN_3``), and its checkpoints load unchanged.
Functions such as `conv3x3` create their layer in whichever module is being called.
"""

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from scoresde_jax.models.conv import conv_general_dilated
from scoresde_jax.models.resample import (
    conv_downsample,
    fir_downsample,
    fir_upsample,
    mean_downsample,
    nearest_upsample,
    upsample_conv,
)
from scoresde_jax.types import Array

Activation = Callable[[Array], Array]

# The spellings of a network's `activation`.
ACTIVATIONS: dict[str, Activation] = {
    "swish": jax.nn.swish,
    "elu": jax.nn.elu,
    "relu": jax.nn.relu,
    "lrelu": lambda x: jax.nn.leaky_relu(x, negative_slope=0.2),
}


def check_choices(module: nn.Module, choices: dict[str, dict]) -> None:
    """Checks that each named field of a network is a key of its table.

    Args:
      module: the network.
      choices: field name -> {known value: anything}.

    Raises:
      ValueError: for a value that is not known; the message lists those that are.
    """
    for field, known in choices.items():
        value = getattr(module, field)
        if value not in known:
            names = ", ".join(repr(name) for name in known)
            raise ValueError(f"{type(module).__name__}.{field} is {value!r}; known are {names}.")


def remat_at(net: Any, h: Array, block: type[nn.Module], static: tuple[int, ...] = ()) -> Any:
    """The class of a block that takes h, (B, H, W, C), as `net.remat_resolutions` wants it.

    At the heights named there its activations are computed a second time for the gradient instead
    of being kept. Values, gradients and names of parameters are those of the block.

    Args:
      static: positions of the block's arguments that are not arrays; the first after self is 1.
    """
    return _remat(block, static) if h.shape[1] in net.remat_resolutions else block


@functools.cache
def _remat(block: type[nn.Module], static_argnums: tuple[int, ...]) -> type[nn.Module]:
    again = nn.remat(block, static_argnums=static_argnums)
    again.__name__ = block.__name__  # flax numbers parameters by it
    return again


def fan_avg_init(scale: float = 1.0) -> nn.initializers.Initializer:
    """Uniform with variance scale / mean(fan_in, fan_out), as in Ho et al. 2020.

    A scale of 0 becomes 1e-10: "zero" layers start small, not at zero, as in the original.
    """
    return nn.initializers.variance_scaling(scale or 1e-10, "fan_avg", "uniform")


def conv3x3(x: Array, features: int, *, stride: int = 1, init_scale: float = 1.0) -> Array:
    """3x3 convolution, (B, H, W, C) -> (B, H / stride, W / stride, features)."""
    return _conv(x, features, 3, stride, init_scale)


def conv1x1(x: Array, features: int) -> Array:
    """1x1 convolution, (B, H, W, C) -> (B, H, W, features)."""
    return _conv(x, features, 1, 1, 1.0)


def _conv(x: Array, features: int, size: int, stride: int, init_scale: float) -> Array:
    layer = nn.Conv(
        features,
        (size, size),
        strides=(stride, stride),
        padding="SAME",
        kernel_init=fan_avg_init(init_scale),
        dtype=x.dtype,
        conv_general_dilated=conv_general_dilated,
    )
    return layer(x)


def dense(x: Array, features: int) -> Array:
    """Affine map, (B, C) -> (B, features)."""
    return nn.Dense(features, kernel_init=fan_avg_init(), dtype=x.dtype)(x)


class NIN(nn.Module):
    """Network in network: one affine map of the channels for all pixels.

    Attributes:
      features: channels out.
      init_scale: variance scale of `fan_avg_init`.
    """

    features: int
    init_scale: float = 0.1  # the original's, also where DDPM starts from other values

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Maps (..., C) -> (..., features)."""
        w = self.param("W", fan_avg_init(self.init_scale), (x.shape[-1], self.features))
        b = self.param("b", nn.initializers.zeros, (self.features,))
        return x @ w.astype(x.dtype) + b.astype(x.dtype)


def add(x: Array, h: Array, rescale: bool) -> Array:
    """x + h, divided by sqrt(2) if `rescale` so that variances add to one (StyleGAN2)."""
    total = x + h
    return total / math.sqrt(2) if rescale else total


def concat_channels(x: Array, h: Array) -> Array:
    """(B, H, W, C), (B, H, W, D) -> (B, H, W, C + D)."""
    return jnp.concatenate([x, h], axis=-1)


class Combine(nn.Module):
    """Feeds an image pyramid into features: merge(conv1x1(pyramid), h).

    Attributes:
      merge: `jnp.add` or `concat_channels`.
    """

    merge: Callable[[Array, Array], Array]

    @nn.compact
    def __call__(self, pyramid: Array, h: Array) -> Array:
        """Merges (B, H, W, c) into (B, H, W, C)."""
        return self.merge(conv1x1(pyramid, h.shape[-1]), h)


class Conv2d(nn.Module):
    """A 3x3 convolution fused with FIR resampling.

    Attributes:
      features: channels out.
      fused: `upsample_conv` or `conv_downsample`.
      fir_kernel: the low-pass filter, unnormalised.
    """

    features: int
    fused: Callable[..., Array]
    fir_kernel: tuple[float, ...]

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Maps (B, H, W, C) to (B, 2H, 2W, features) or (B, H/2, W/2, features)."""
        w = self.param("weight", fan_avg_init(), (3, 3, x.shape[-1], self.features))
        b = self.param("bias", nn.initializers.zeros, (self.features,))
        return self.fused(x, w.astype(x.dtype), self.fir_kernel) + b.astype(x.dtype)


class Upsample(nn.Module):
    """Doubles height and width.

    Attributes:
      features: channels out of a learned 3x3 convolution; None for no convolution.
      fir_kernel: the low-pass filter, unnormalised; empty for nearest neighbour.
    """

    features: int | None = None
    fir_kernel: tuple[float, ...] = ()

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Maps (B, H, W, C) -> (B, 2H, 2W, C or features)."""
        if self.fir_kernel and self.features:
            return Conv2d(self.features, upsample_conv, self.fir_kernel)(x)
        if self.fir_kernel:
            return fir_upsample(x, self.fir_kernel)
        x = nearest_upsample(x)
        return conv3x3(x, self.features) if self.features else x


class Downsample(nn.Module):
    """Halves height and width.

    Attributes:
      features: channels out of a learned 3x3 convolution of stride 2; None for no convolution.
      fir_kernel: the low-pass filter, unnormalised; empty for none, or the mean without conv.
    """

    features: int | None = None
    fir_kernel: tuple[float, ...] = ()

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Maps (B, H, W, C) -> (B, H/2, W/2, C or features)."""
        if self.fir_kernel and self.features:
            return Conv2d(self.features, conv_downsample, self.fir_kernel)(x)
        if self.fir_kernel:
            return fir_downsample(x, self.fir_kernel)
        return conv3x3(x, self.features, stride=2) if self.features else mean_downsample(x)
