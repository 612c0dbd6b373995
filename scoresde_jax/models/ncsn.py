"""NCSN (Song & Ermon 2019) and NCSNv2 (Song & Ermon 2020): RefineNets that estimate scores.

    raw = network(x, label)

Residual stages go down, pooling first and dilating once the image is small; refine blocks come back
up, each fusing the stage's features with what came from below. NCSN tells its convolutions the
noise level through a class-conditional normalisation; NCSNv2 does not see it at all: its
parameterisation divides the output by sigma (score.py). The blocks are in `refinenet.py`.
"""

from typing import NamedTuple

import jax.numpy as jnp
from flax import linen as nn

from scoresde_jax.models.layers import ACTIVATIONS, check_choices, remat_at
from scoresde_jax.models.normalization import (
    NORMALIZATIONS,
    ConditionalInstanceNorm2dPlus,
    Normalization,
)
from scoresde_jax.models.refinenet import (
    INTERPOLATIONS,
    ConditionalResidualBlock,
    CondRefineBlock,
    RefineBlock,
    ResidualBlock,
    conv3x3,
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


class NCSN(nn.Module):
    """The network of NCSN: a label chooses the scales and biases of every normalisation.

    ``apply({"params": params}, x, label, train=False)``.

    Attributes:
      features: channels at full resolution.
      classes: noise levels; labels are 0 .. classes - 1, 0 the largest.
      activation: "elu", "swish", "relu" or "lrelu".
      interpolation: "bilinear" or "nearest".
      dtype: of the computation; parameters and output are float32.
      remat_resolutions: heights at which the activations within a block are computed a second time
        for the gradient instead of being kept.
    """

    features: int = 128
    classes: int = 10
    activation: str = "elu"
    interpolation: str = "bilinear"
    dtype: jnp.dtype = jnp.float32
    remat_resolutions: tuple[int, ...] = ()

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
      remat_resolutions: heights at which the activations within a block are computed a second time
        for the gradient instead of being kept.
    """

    features: int = 128
    size: int = 64
    normalization: str = "instance++"
    activation: str = "elu"
    interpolation: str = "bilinear"
    dtype: jnp.dtype = jnp.float32
    remat_resolutions: tuple[int, ...] = ()

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
    h = conv3x3(x.astype(net.dtype), net.features)
    features = []
    for i, stage in enumerate(layout.stages):
        width = net.features * stage.features
        block = remat_at(net, h, residual)
        h = block(width, activation, normalize, stage.pool, stage.dilation, down=i > 0)(h)
        block = remat_at(net, h, residual)
        h = block(width, activation, normalize, dilation=stage.dilation)(h)
        features.append(h)
    inputs: list[Array] = []
    for i, multiple in enumerate(layout.refine):
        inputs.insert(0, features.pop())
        block = remat_at(net, inputs[0], refine)(
            net.features * multiple,
            activation,
            normalize if conditional else None,
            net.interpolation,
            last=i == len(layout.refine) - 1,
        )
        inputs = [block(inputs)]
    h = activation(normalize(inputs[0]))
    return conv3x3(h, x.shape[-1]).astype(jnp.float32)
