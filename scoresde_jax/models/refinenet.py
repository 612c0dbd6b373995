"""The RefineNets of NCSN (Song & Ermon 2019) and NCSNv2 (Song & Ermon 2020).

    raw = network(x, label)

Residual stages go down, pooling first and dilating once the image is small; refine blocks come back
up, each fusing the stage's features with what came from below (Lin et al. 2017). NCSN tells its
convolutions the noise level through a class-conditional normalisation; NCSNv2 does not see it at
all: its parameterisation divides the output by sigma (score.py).

Class names and the order of calls are those of the 2021 code, so its checkpoints load unchanged.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from scoresde_jax.models.conv import conv_general_dilated
from scoresde_jax.models.layers import ACTIVATIONS, Activation, check_choices
from scoresde_jax.models.normalization import (
    NORMALIZATIONS,
    ConditionalInstanceNorm2dPlus,
    Normalization,
)
from scoresde_jax.types import Array


class Stage(NamedTuple):
    """Two residual blocks; the first of them changes channels and scale."""

    features: int  # multiple of the network's features
    pool: bool = False  # halve height and width
    dilation: int = 1


class Layout(NamedTuple):
    """The stages of a network, and the channels (multiples) of its refine blocks, lowest first."""

    stages: tuple[Stage, ...]
    refine: tuple[int, ...]


_POOLED = Stage(2, pool=True)
LAYOUTS = {
    64: Layout((Stage(1), _POOLED, Stage(2, dilation=2), Stage(2, dilation=4)), (2, 2, 2, 1)),
    128: Layout(
        (Stage(1), _POOLED, _POOLED, Stage(4, dilation=2), Stage(4, dilation=4)), (4, 2, 2, 1, 1)
    ),
    256: Layout(
        (Stage(1), _POOLED, _POOLED, _POOLED, Stage(4, dilation=2), Stage(4, dilation=4)),
        (4, 2, 2, 2, 1, 1),
    ),
}
INTERPOLATIONS = {"bilinear": "bilinear", "nearest": "nearest"}  # of jax.image.resize


class NCSN(nn.Module):
    """The network of NCSN: a label chooses the scales and biases of every normalisation.

    ``apply({"params": params}, x, label, train=False)``.

    Attributes:
      features: channels at full resolution.
      classes: noise levels; labels are 0 .. classes - 1, 0 the largest.
      activation: "elu", "swish", "relu" or "lrelu".
      interpolation: "bilinear" or "nearest".
      dtype: of the computation; parameters and output are float32.
    """

    features: int = 128
    classes: int = 10
    activation: str = "elu"
    interpolation: str = "bilinear"
    dtype: jnp.dtype = jnp.float32

    def __post_init__(self):
        check_choices(self, {"activation": ACTIVATIONS, "interpolation": INTERPOLATIONS})
        super().__post_init__()

    @property
    def divisor(self) -> int:
        """What the height and width of images must be multiples of."""
        return _divisor(LAYOUTS[64])

    @nn.compact
    def __call__(self, x: Array, label: Array, train: bool = False) -> Array:
        """Maps x, (B, H, W, C), and label, (B,), to the raw output, (B, H, W, C) float32.

        Args:
          x: noisy images; H and W even.
          label: index of the noise level, a whole number in any dtype.
          train: nothing changes in training.
        """
        del train
        index = label.astype(jnp.int32)

        def normalize(h: Array) -> Array:
            return ConditionalInstanceNorm2dPlus(self.classes)(h, index)

        return _refinenet(self, x, LAYOUTS[64], normalize, conditional=True)


class NCSNv2(nn.Module):
    """The network of NCSNv2, which ignores the label.

    Attributes:
      features: channels at full resolution.
      size: 64, 128 or 256, the resolution that the published network of this depth was made for.
      normalization: "instance++", "instance", "variance" or "group".
      activation: "elu", "swish", "relu" or "lrelu".
      interpolation: "bilinear" or "nearest".
      dtype: of the computation; parameters and output are float32.
    """

    features: int = 128
    size: int = 64
    normalization: str = "instance++"
    activation: str = "elu"
    interpolation: str = "bilinear"
    dtype: jnp.dtype = jnp.float32

    def __post_init__(self):
        choices = {
            "size": LAYOUTS,
            "normalization": NORMALIZATIONS,
            "activation": ACTIVATIONS,
            "interpolation": INTERPOLATIONS,
        }
        check_choices(self, choices)
        super().__post_init__()

    @property
    def divisor(self) -> int:
        """What the height and width of images must be multiples of."""
        return _divisor(LAYOUTS[self.size])

    @nn.compact
    def __call__(self, x: Array, label: Array, train: bool = False) -> Array:
        """Maps x, (B, H, W, C), to the raw output, (B, H, W, C) float32; see the class.

        Args:
          x: noisy images; H and W divisible by 2 for each pooling stage: 1, 2 or 3 of them.
          label: ignored.
          train: nothing changes in training.
        """
        del label, train
        normalize = NORMALIZATIONS[self.normalization]
        return _refinenet(self, x, LAYOUTS[self.size], normalize, conditional=False)


def _divisor(layout: Layout) -> int:
    return 2 ** sum(stage.pool for stage in layout.stages)


def _refinenet(
    net: NCSN | NCSNv2, x: Array, layout: Layout, normalize: Normalization, *, conditional: bool
) -> Array:
    activation = ACTIVATIONS[net.activation]
    residual = ConditionalResidualBlock if conditional else ResidualBlock
    refine = CondRefineBlock if conditional else RefineBlock
    h = _conv(x.astype(net.dtype), net.features)
    features = []
    for i, stage in enumerate(layout.stages):
        width = net.features * stage.features
        first = residual(width, activation, normalize, stage.pool, stage.dilation, down=i > 0)
        second = residual(width, activation, normalize, dilation=stage.dilation)
        h = second(first(h))
        features.append(h)
    inputs: list[Array] = []
    for i, multiple in enumerate(layout.refine):
        inputs.insert(0, features.pop())
        block = refine(
            net.features * multiple,
            activation,
            normalize if conditional else None,
            net.interpolation,
            last=i == len(layout.refine) - 1,
        )
        inputs = [block(inputs)]
    h = activation(normalize(inputs[0]))
    return _conv(h, x.shape[-1]).astype(jnp.float32)


# ------------------------------------------------------------------------------------ the way down


class ConvMeanPool(nn.Module):
    """A convolution, then the mean of 2x2 pixels."""

    features: int
    kernel: int

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Maps (B, H, W, C) to (B, H/2, W/2, features)."""
        size = (self.kernel, self.kernel)
        h = nn.Conv(self.features, size, dtype=x.dtype, conv_general_dilated=conv_general_dilated)(
            x
        )
        return nn.avg_pool(h, (2, 2), (2, 2))


class ResidualBlock(nn.Module):
    """norm, activation, convolution, twice, beside a shortcut.

    Attributes:
      features: channels out.
      activation: between normalisation and convolution.
      normalize: the normalisation.
      pool: halve height and width.
      dilation: of the convolutions.
      down: whether the first convolution keeps its channels and the shortcut is learned.
    """

    features: int
    activation: Activation
    normalize: Normalization
    pool: bool = False
    dilation: int = 1
    down: bool = False

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Maps (B, H, W, C) to (B, H or H/2, W or W/2, features)."""
        h = self.activation(self.normalize(x))
        h = _conv(h, x.shape[-1] if self.down else self.features, dilation=self.dilation)
        h = self.activation(self.normalize(h))
        if self.pool:
            return ConvMeanPool(self.features, 3)(h) + ConvMeanPool(self.features, 1)(x)
        h = _conv(h, self.features, dilation=self.dilation)
        return h + (_conv(x, self.features, dilation=self.dilation) if self.down else x)


class ConditionalResidualBlock(ResidualBlock):
    """The same under the name that NCSN's checkpoints give it."""


# -------------------------------------------------------------------------------------- the way up


class CRPBlock(nn.Module):
    """Chained residual pooling: pool and convolve again and again, and add up.

    Attributes:
      features: channels.
      activation: once, at the start.
      normalize: before each pooling; None for none, and then the maximum is pooled, not the mean.
    """

    features: int
    activation: Activation
    normalize: Normalization | None

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Maps (B, H, W, C) to (B, H, W, features)."""
        x = self.activation(x)
        path = x
        for _ in range(2):
            if self.normalize:
                path = nn.avg_pool(self.normalize(path), (5, 5), padding="SAME")
            else:
                path = nn.max_pool(path, (5, 5), padding="SAME")
            path = _conv(path, self.features, bias=False)
            x = path + x
        return x


class RCUBlock(nn.Module):
    """Residual convolution units: two convolutions beside an identity, `units` times.

    Attributes:
      units: how many.
      activation: before each convolution.
      normalize: before each activation; None for none.
    """

    units: int
    activation: Activation
    normalize: Normalization | None

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Maps (B, H, W, C) to the same shape."""
        for _ in range(self.units):
            shortcut = x
            for _ in range(2):
                x = self.normalize(x) if self.normalize else x
                x = _conv(self.activation(x), x.shape[-1], bias=False)
            x = x + shortcut
        return x


class MSFBlock(nn.Module):
    """Multi-scale fusion: convolve each input, resize it to the first, add.

    Attributes:
      features: channels out.
      normalize: before each convolution; None for none.
      interpolation: of the resizing.
    """

    features: int
    normalize: Normalization | None
    interpolation: str

    @nn.compact
    def __call__(self, inputs: Sequence[Array]) -> Array:
        """Maps (B, Hi, Wi, Ci) inputs to (B, H0, W0, features)."""
        shape = (*inputs[0].shape[:3], self.features)
        total = jnp.zeros(shape, inputs[0].dtype)
        for x in inputs:
            h = _conv(self.normalize(x) if self.normalize else x, self.features)
            total = total + jax.image.resize(h, shape, INTERPOLATIONS[self.interpolation])
        return total


class RefineBlock(nn.Module):
    """Fuses features of a stage with what came from below.

    Attributes:
      features: channels out.
      activation, normalize, interpolation: of the parts.
      last: whether this is the block at full resolution, which ends with more units.
    """

    features: int
    activation: Activation
    normalize: Normalization | None
    interpolation: str
    last: bool = False

    @nn.compact
    def __call__(self, inputs: Sequence[Array]) -> Array:
        """Maps (B, Hi, Wi, Ci) inputs, the largest first, to (B, H0, W0, features)."""
        rcu, msf, crp = self.parts()
        hidden = [rcu(2, self.activation, self.normalize)(x) for x in inputs]
        if len(hidden) > 1:
            h = msf(self.features, self.normalize, self.interpolation)(hidden)
        else:
            h = hidden[0]
        h = crp(self.features, self.activation, self.normalize)(h)
        return rcu(3 if self.last else 1, self.activation, self.normalize)(h)

    def parts(self) -> tuple[type[RCUBlock], type[MSFBlock], type[CRPBlock]]:
        """The classes of the parts, which name their parameters."""
        return RCUBlock, MSFBlock, CRPBlock


class CondRCUBlock(RCUBlock):
    """`RCUBlock` under the name that NCSN's checkpoints give it."""


class CondMSFBlock(MSFBlock):
    """`MSFBlock` under the name that NCSN's checkpoints give it."""


class CondCRPBlock(CRPBlock):
    """`CRPBlock` under the name that NCSN's checkpoints give it."""


class CondRefineBlock(RefineBlock):
    """`RefineBlock` under the name that NCSN's checkpoints give it."""

    def parts(self) -> tuple[type[RCUBlock], type[MSFBlock], type[CRPBlock]]:
        """The classes of the parts, which name their parameters."""
        return CondRCUBlock, CondMSFBlock, CondCRPBlock


def _conv(x: Array, features: int, *, dilation: int = 1, bias: bool = True) -> Array:
    """3x3 convolution; weights and biases start uniform within 1 / sqrt(fan_in), as PyTorch's."""
    limit = 1 / math.sqrt(9 * x.shape[-1])
    layer = nn.Conv(
        features,
        (3, 3),
        padding="SAME",
        kernel_dilation=(dilation, dilation),
        use_bias=bias,
        kernel_init=nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform"),
        bias_init=lambda key, shape, dtype: jax.random.uniform(key, shape, dtype, -limit, limit),
        dtype=x.dtype,
        conv_general_dilated=conv_general_dilated,
    )
    return layer(x)
