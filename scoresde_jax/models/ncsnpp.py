"""NCSN++ and DDPM++: the U-Net of Song et al. 2021, App. H, with all its switches.

    raw = network(x, label)

`label` is what the parameterisation says: 999 t or a chain index for ``embedding="positional"``,
sigma itself for ``"fourier"`` (the logarithm is taken here).  Scaling images to [-1, 1] and
dividing by sigma, which the 2021 network did inside, belong to the parameterisation (score.py).

DDPM++ is the defaults.  NCSN++ adds ``fir=True, progressive_input="residual"`` and, for continuous
VE, ``embedding="fourier"``; at 256 pixels and more, ``progressive="output_skip"`` and
``progressive_input="input_skip"``.  Below, `h` are features, `pyramid` the image or feature pyramid
that runs beside them, `temb` the time embedding.
"""

from functools import partial
from typing import Any

import jax.numpy as jnp
from flax import linen as nn

from scoresde_jax.models.attention import AttnBlockpp
from scoresde_jax.models.blocks import ResnetBlockBigGANpp, ResnetBlockDDPMpp
from scoresde_jax.models.embedding import (
    GaussianFourierProjection,
    add_class,
    check_classes,
    timestep_embedding,
)
from scoresde_jax.models.layers import (
    ACTIVATIONS,
    Combine,
    Downsample,
    Upsample,
    add,
    check_choices,
    concat_channels,
    conv3x3,
    dense,
    remat_at,
)
from scoresde_jax.models.normalization import ncsnpp_group_norm
from scoresde_jax.models.resample import (
    fir_downsample,
    fir_upsample,
    mean_downsample,
    nearest_upsample,
)
from scoresde_jax.types import Array


class NCSNpp(nn.Module):
    """The NCSN++ / DDPM++ network.

    ``apply({"params": params}, x, label, train=False, rngs={"dropout": key})``.

    Attributes:
      features: channels at full resolution.
      channel_multipliers: channels of each level as multiples of `features`; a level halves H, W.
      blocks_per_level: residual blocks on the way down; one more on the way up.
      attention_resolutions: heights at which attention follows the blocks.
      dropout: rate, in training only.
      resample_with_conv: whether block="ddpm" resamples with a learned convolution.
      conditional: whether blocks see the label.
      fir: whether resampling is low-pass filtered.
      fir_kernel: that filter, unnormalised.
      skip_rescale: whether sums are divided by sqrt(2).
      block: "biggan" or "ddpm".
      progressive: how levels of the decoder reach the output: "none", "output_skip", "residual".
      progressive_input: how the image reaches the encoder's levels: "none", "input_skip",
        "residual".
      progressive_combine: how "input_skip" merges: "sum" or "cat".
      embedding: "positional" or "fourier".
      fourier_scale: standard deviation of the Fourier frequencies.
      init_scale: variance scale of last layers; 0 means almost zero.
      activation: "swish", "elu", "relu" or "lrelu".
      dtype: of the computation; parameters and output are float32.
      remat_resolutions: heights at which the activations within a block are computed a second time
        for the gradient instead of being kept.
      image_classes: how many classes of images there are to be told of; 0 for a network without.
      class_dropout: how often a class is left out in training, for guidance without classifier.
    """

    features: int = 128
    channel_multipliers: tuple[int, ...] = (1, 2, 2, 2)
    blocks_per_level: int = 4
    attention_resolutions: tuple[int, ...] = (16,)
    dropout: float = 0.1
    resample_with_conv: bool = True
    conditional: bool = True
    fir: bool = False
    fir_kernel: tuple[float, ...] = (1, 3, 3, 1)
    skip_rescale: bool = True
    block: str = "biggan"
    progressive: str = "none"
    progressive_input: str = "none"
    progressive_combine: str = "sum"
    embedding: str = "positional"
    fourier_scale: float = 16.0
    init_scale: float = 0.0
    activation: str = "swish"
    dtype: jnp.dtype = jnp.float32
    remat_resolutions: tuple[int, ...] = ()
    image_classes: int = 0
    class_dropout: float = 0.1

    def __post_init__(self):
        check_choices(self, CHOICES)
        check_classes("NCSNpp", self.image_classes, self.conditional)
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
          label: time label, see the module's docstring.
          train: whether dropout is on; it then takes the "dropout" key.
          y: (B,) int32 classes; `image_classes`, or None for all, is no class.

        Returns:
          float32, what the network was trained to predict, up to its parameterisation.
        """
        temb = _embed(self, label, y, train)
        h, skips = _encode(self, x.astype(self.dtype), temb, train)
        h = _run_block(self, h, temb, train, h.shape[-1])
        h = _attention(self, h)
        h = _run_block(self, h, temb, train, h.shape[-1])
        return _decode(self, h, skips, temb, train, x.shape[-1]).astype(jnp.float32)


def _embed(net: NCSNpp, label: Array, y: Array | None, train: bool) -> Array | None:
    """The embedding of time and class, (B, 4 features); None in an unconditional network."""
    temb = CHOICES["embedding"][net.embedding](net, label)
    if not net.conditional:
        return None
    temb = dense(temb.astype(net.dtype), 4 * net.features)
    temb = dense(ACTIVATIONS[net.activation](temb), 4 * net.features)
    if not net.image_classes:
        return temb
    return add_class(temb, y, net.image_classes, net.class_dropout, train)


def _encode(net: NCSNpp, x: Array, temb: Array | None, train: bool) -> tuple[Array, list[Array]]:
    """Runs the way down: the features at the lowest level, and those every block left behind."""
    _, down, _ = CHOICES["block"][net.block]
    feed = CHOICES["progressive_input"][net.progressive_input]
    pyramid = x
    h = conv3x3(x, net.features)
    skips = [h]
    for level, multiplier in enumerate(net.channel_multipliers):
        for _ in range(net.blocks_per_level):
            h = _run_block(net, h, temb, train, net.features * multiplier)
            if h.shape[1] in net.attention_resolutions:
                h = _attention(net, h)
            skips.append(h)
        if level != len(net.channel_multipliers) - 1:
            h = down(net, h, temb, train)
            h, pyramid = feed(net, h, pyramid)
            skips.append(h)
    return h, skips


def _decode(
    net: NCSNpp, h: Array, skips: list[Array], temb: Array | None, train: bool, channels: int
) -> Array:
    """Runs the way up, from the lowest level's features to an image of `channels` channels."""
    _, _, up = CHOICES["block"][net.block]
    collect, to_image = CHOICES["progressive"][net.progressive]
    pyramid = None
    for level, multiplier in reversed(list(enumerate(net.channel_multipliers))):
        for _ in range(net.blocks_per_level + 1):
            h = concat_channels(h, skips.pop())
            h = _run_block(net, h, temb, train, net.features * multiplier)
        # Once per level, after its last block, unlike the way down.
        if h.shape[1] in net.attention_resolutions:
            h = _attention(net, h)
        h, pyramid = collect(net, h, pyramid, channels)
        if level != 0:
            h = up(net, h, temb, train)
    return to_image(net, h, pyramid, channels)


def _run_block(net: NCSNpp, h: Array, temb: Array | None, train: bool, features: int) -> Array:
    """One residual block that keeps the size."""
    block, _, _ = CHOICES["block"][net.block]
    return remat_at(net, h, block, TRAIN)(**_block_settings(net, features))(h, temb, train)


TRAIN = (3,)  # the position of `train` in a residual block's arguments; it is not an array


def _block_settings(net: NCSNpp, features: int) -> dict[str, Any]:
    """The fields that every residual block takes from the network."""
    return {
        "activation": ACTIVATIONS[net.activation],
        "features": features,
        "dropout": net.dropout,
        "skip_rescale": net.skip_rescale,
        "init_scale": net.init_scale,
    }


def _attention(net: NCSNpp, h: Array) -> Array:
    return remat_at(net, h, AttnBlockpp)(net.skip_rescale, net.init_scale)(h)


def _filter(net: NCSNpp) -> tuple[float, ...]:
    """The FIR kernel; empty for none."""
    return tuple(net.fir_kernel) if net.fir else ()


def _head(net: NCSNpp, h: Array, channels: int, init_scale: float) -> Array:
    """conv(act(norm(h))), (B, H, W, C) -> (B, H, W, channels)."""
    h = ACTIVATIONS[net.activation](ncsnpp_group_norm(h))
    return conv3x3(h, channels, init_scale=init_scale)


# embedding: (net, label (B,)) -> (B, E)


def _positional(net: NCSNpp, label: Array) -> Array:
    return timestep_embedding(label, net.features)


def _fourier(net: NCSNpp, label: Array) -> Array:
    return GaussianFourierProjection(net.features, net.fourier_scale)(jnp.log(label))


# block: (net, h, temb, train) -> h at half or twice the size


def _biggan_down(net: NCSNpp, h: Array, temb: Array | None, train: bool) -> Array:
    resample = partial(fir_downsample, kernel=net.fir_kernel) if net.fir else mean_downsample
    block = remat_at(net, h, ResnetBlockBigGANpp, TRAIN)
    return block(**_block_settings(net, h.shape[-1]), resample=resample)(h, temb, train)


def _biggan_up(net: NCSNpp, h: Array, temb: Array | None, train: bool) -> Array:
    resample = partial(fir_upsample, kernel=net.fir_kernel) if net.fir else nearest_upsample
    block = remat_at(net, h, ResnetBlockBigGANpp, TRAIN)
    return block(**_block_settings(net, h.shape[-1]), resample=resample)(h, temb, train)


def _ddpm_down(net: NCSNpp, h: Array, temb: Array | None, train: bool) -> Array:
    return Downsample(h.shape[-1] if net.resample_with_conv else None, _filter(net))(h)


def _ddpm_up(net: NCSNpp, h: Array, temb: Array | None, train: bool) -> Array:
    return Upsample(h.shape[-1] if net.resample_with_conv else None, _filter(net))(h)


# progressive_input: (net, h, pyramid one level above) -> (h, pyramid)


def _no_input(net: NCSNpp, h: Array, pyramid: Array) -> tuple[Array, Array]:
    return h, pyramid


def _input_skip(net: NCSNpp, h: Array, pyramid: Array) -> tuple[Array, Array]:
    pyramid = Downsample(None, _filter(net))(pyramid)
    return Combine(CHOICES["progressive_combine"][net.progressive_combine])(pyramid, h), pyramid


def _input_residual(net: NCSNpp, h: Array, pyramid: Array) -> tuple[Array, Array]:
    pyramid = Downsample(h.shape[-1], _filter(net))(pyramid)
    pyramid = add(pyramid, h, net.skip_rescale)
    return pyramid, pyramid


# progressive: (net, h, pyramid one level below or None, channels) -> (h, pyramid), once per level


def _no_output(net: NCSNpp, h: Array, pyramid: None, channels: int) -> tuple[Array, None]:
    return h, None


def _output_skip(
    net: NCSNpp, h: Array, pyramid: Array | None, channels: int
) -> tuple[Array, Array]:
    image = _head(net, h, channels, net.init_scale)
    if pyramid is None:
        return h, image
    return h, Upsample(None, _filter(net))(pyramid) + image


def _output_residual(
    net: NCSNpp, h: Array, pyramid: Array | None, channels: int
) -> tuple[Array, Array]:
    if pyramid is None:
        return h, _head(net, h, h.shape[-1], 1.0)
    pyramid = Upsample(h.shape[-1], _filter(net))(pyramid)
    pyramid = add(pyramid, h, net.skip_rescale)
    return pyramid, pyramid


# progressive, at the end: (net, h, pyramid, channels) -> image


def _image_from_features(net: NCSNpp, h: Array, pyramid: Array | None, channels: int) -> Array:
    return _head(net, h, channels, net.init_scale)


def _image_from_pyramid(net: NCSNpp, h: Array, pyramid: Array, channels: int) -> Array:
    return pyramid


CHOICES: dict[str, dict[str, Any]] = {
    "activation": ACTIVATIONS,
    "block": {
        "biggan": (ResnetBlockBigGANpp, _biggan_down, _biggan_up),
        "ddpm": (ResnetBlockDDPMpp, _ddpm_down, _ddpm_up),
    },
    "embedding": {"positional": _positional, "fourier": _fourier},
    "progressive": {
        "none": (_no_output, _image_from_features),
        "output_skip": (_output_skip, _image_from_pyramid),
        "residual": (_output_residual, _image_from_features),
    },
    "progressive_input": {
        "none": _no_input,
        "input_skip": _input_skip,
        "residual": _input_residual,
    },
    "progressive_combine": {"sum": jnp.add, "cat": concat_channels},
}
