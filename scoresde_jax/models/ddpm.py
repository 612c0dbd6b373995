"""The U-Net of DDPM (Ho et al. 2020) as Song et al. 2021 use it in Table 1.

    raw = network(x, label)

Scaling images to [-1, 1] and dividing by sigma belong to the parameterisation (score.py), not here.
"""

from typing import Any

import jax.numpy as jnp
from flax import linen as nn

from scoresde_jax.models.attention import AttnBlock
from scoresde_jax.models.blocks import ResnetBlockDDPM
from scoresde_jax.models.embedding import add_class, check_classes, timestep_embedding
from scoresde_jax.models.layers import (
    ACTIVATIONS,
    Downsample,
    Upsample,
    check_choices,
    concat_channels,
    conv3x3,
    dense,
    remat_at,
)
from scoresde_jax.models.normalization import NORMALIZATIONS
from scoresde_jax.types import Array

CHOICES: dict[str, dict[str, Any]] = {"activation": ACTIVATIONS, "normalization": NORMALIZATIONS}


class DDPM(nn.Module):
    """The DDPM network.

    ``apply({"params": params}, x, label, train=False, rngs={"dropout": key})``.

    Attributes:
      features: channels at full resolution.
      channel_multipliers: channels of each level as multiples of `features`; a level halves H, W.
      blocks_per_level: residual blocks on the way down; one more on the way up.
      attention_resolutions: heights at which attention follows the blocks.
      dropout: rate, in training only.
      resample_with_conv: whether resampling has a learned convolution.
      conditional: whether blocks see the label.
      normalization: "group" (32 groups), "instance", "instance++" or "variance".
      activation: "swish", "elu", "relu" or "lrelu".
      dtype: of the computation; parameters and output are float32.
      remat_resolutions: heights at which the activations within a block are computed a second time
        for the gradient instead of being kept.
      image_classes: how many classes of images there are to be told of; 0 for a network without.
      class_dropout: how often a class is left out in training, for guidance without classifier.
    """

    features: int = 128
    channel_multipliers: tuple[int, ...] = (1, 2, 2, 2)
    blocks_per_level: int = 2
    attention_resolutions: tuple[int, ...] = (16,)
    dropout: float = 0.1
    resample_with_conv: bool = True
    conditional: bool = True
    normalization: str = "group"
    activation: str = "swish"
    dtype: jnp.dtype = jnp.float32
    remat_resolutions: tuple[int, ...] = ()
    image_classes: int = 0
    class_dropout: float = 0.1

    def __post_init__(self):
        check_choices(self, CHOICES)
        check_classes("DDPM", self.image_classes, self.conditional)
        super().__post_init__()

    @property
    def divisor(self) -> int:
        """What the height and width of images must be multiples of."""
        return 2 ** (len(self.channel_multipliers) - 1)

    @nn.compact
    def __call__(
        self, x: Array, label: Array, train: bool = False, y: Array | None = None
    ) -> Array:
        """Maps x, (B, H, W, C), and label, (B,), to the raw output, (B, H, W, C).

        Args:
          x: noisy images; H and W divisible by 2 per level below the first.
          label: time label, 999 t or a chain index; ignored if not `conditional`.
          train: whether dropout is on; it then takes the "dropout" key.
          y: (B,) int32 classes; `image_classes`, or None for all, is no class.

        Returns:
          float32, what the network was trained to predict, up to its parameterisation.
        """
        activation = ACTIVATIONS[self.activation]
        temb = _embed(self, label, y, train) if self.conditional else None
        h, skips = _encode(self, x.astype(self.dtype), temb, train)
        h = _run_block(self, h, temb, train, h.shape[-1])
        h = _attention(self, h)
        h = _run_block(self, h, temb, train, h.shape[-1])
        h = _decode(self, h, skips, temb, train)
        h = activation(NORMALIZATIONS[self.normalization](h))
        return conv3x3(h, x.shape[-1], init_scale=0.0).astype(jnp.float32)


def _embed(net: DDPM, label: Array, y: Array | None, train: bool) -> Array:
    """The embedding of time and class, (B, 4 features)."""
    temb = timestep_embedding(label, net.features).astype(net.dtype)
    temb = dense(temb, 4 * net.features)
    temb = dense(ACTIVATIONS[net.activation](temb), 4 * net.features)
    if not net.image_classes:
        return temb
    return add_class(temb, y, net.image_classes, net.class_dropout, train)


def _encode(net: DDPM, x: Array, temb: Array | None, train: bool) -> tuple[Array, list[Array]]:
    """Runs the way down: the features at the lowest level, and those every block left behind."""
    h = conv3x3(x, net.features)
    skips = [h]
    for level, multiplier in enumerate(net.channel_multipliers):
        for _ in range(net.blocks_per_level):
            h = _run_block(net, h, temb, train, net.features * multiplier)
            if h.shape[1] in net.attention_resolutions:
                h = _attention(net, h)
            skips.append(h)
        if level != len(net.channel_multipliers) - 1:
            h = Downsample(h.shape[-1] if net.resample_with_conv else None)(h)
            skips.append(h)
    return h, skips


def _decode(net: DDPM, h: Array, skips: list[Array], temb: Array | None, train: bool) -> Array:
    """Runs the way up, to features at full resolution."""
    for level, multiplier in reversed(list(enumerate(net.channel_multipliers))):
        for _ in range(net.blocks_per_level + 1):
            h = concat_channels(h, skips.pop())
            h = _run_block(net, h, temb, train, net.features * multiplier)
        # Once per level, after its last block, unlike the way down.
        if h.shape[1] in net.attention_resolutions:
            h = _attention(net, h)
        if level != 0:
            h = Upsample(h.shape[-1] if net.resample_with_conv else None)(h)
    return h


def _run_block(net: DDPM, h: Array, temb: Array | None, train: bool, features: int) -> Array:
    block = remat_at(net, h, ResnetBlockDDPM, (3,))(  # `train`, the third argument, is not an array
        activation=ACTIVATIONS[net.activation],
        normalize=NORMALIZATIONS[net.normalization],
        features=features,
        dropout=net.dropout,
    )
    return block(h, temb, train)


def _attention(net: DDPM, h: Array) -> Array:
    return remat_at(net, h, AttnBlock)(NORMALIZATIONS[net.normalization])(h)
