"""The blocks of RefineNets (Lin et al. 2017) as NCSN and NCSNv2 use them.

Class names and the order of calls are those of the 2021 code, so its checkpoints load unchanged.
"""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import linen as nn

from scoresde_jax.models.conv import conv_general_dilated
from scoresde_jax.models.layers import Activation
from scoresde_jax.models.normalization import Normalization
from scoresde_jax.types import Array

INTERPOLATIONS = {"bilinear": "bilinear", "nearest": "nearest"}  # of jax.image.resize


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
        h = conv3x3(h, x.shape[-1] if self.down else self.features, dilation=self.dilation)
        h = self.activation(self.normalize(h))
        if self.pool:
            return ConvMeanPool(self.features, 3)(h) + ConvMeanPool(self.features, 1)(x)
        h = conv3x3(h, self.features, dilation=self.dilation)
        return h + (conv3x3(x, self.features, dilation=self.dilation) if self.down else x)


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
            path = conv3x3(path, self.features, bias=False)
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
                x = conv3x3(self.activation(x), x.shape[-1], bias=False)
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
            h = conv3x3(self.normalize(x) if self.normalize else x, self.features)
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


def conv3x3(x: Array, features: int, *, dilation: int = 1, bias: bool = True) -> Array:
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
