"""Residual blocks, conditioned on a time embedding.

    h = conv(dropout(act(norm(conv(act(norm(x))) + dense(act(temb))))));   out = shortcut(x) + h

`ResnetBlockDDPM` (Ho et al. 2020), `ResnetBlockDDPMpp` (the same with NCSN++'s norm and rescaled
sum) and `ResnetBlockBigGANpp` (Brock et al. 2019: resamples inside the block).  Class names are
those of the 2021 checkpoints.
"""

from collections.abc import Callable

from flax import linen as nn

from scoresde_jax.models.layers import NIN, Activation, add, conv1x1, conv3x3, dense
from scoresde_jax.models.normalization import Normalization, ncsnpp_group_norm
from scoresde_jax.types import Array


def keep_size(x: Array) -> Array:
    """The resampling of a block that does not resample."""
    return x


def nin_shortcut(x: Array, features: int) -> Array:
    """One affine map of the channels, (B, H, W, C) -> (B, H, W, features)."""
    return NIN(features)(x)


class ResnetBlockBigGANpp(nn.Module):
    """The residual block of NCSN++ and DDPM++, optionally resampling.

    Attributes:
      activation: the nonlinearity.
      features: channels out.
      dropout: rate.
      skip_rescale: whether the sum is divided by sqrt(2).
      init_scale: variance scale of the last convolution.
      resample: (B, H, W, C) -> (B, H', W', C), applied to both branches.
    """

    activation: Activation
    features: int
    dropout: float
    skip_rescale: bool
    init_scale: float
    resample: Callable[[Array], Array] = keep_size

    @nn.compact
    def __call__(self, x: Array, temb: Array | None, train: bool) -> Array:
        """Maps x, (B, H, W, C), and temb, (B, E) or None, to (B, H', W', features)."""
        h = self.resample(self.activation(ncsnpp_group_norm(x)))
        h = conv3x3(h, self.features)
        h = _shift_by_time(h, temb, self.activation)
        h = self.activation(ncsnpp_group_norm(h))
        h = nn.Dropout(self.dropout)(h, deterministic=not train)
        h = conv3x3(h, self.features, init_scale=self.init_scale)
        # A block that changes any dimension, channels or size, has a learned shortcut.
        shortcut = x if x.shape == h.shape else conv1x1(self.resample(x), self.features)
        return add(shortcut, h, self.skip_rescale)


class ResnetBlockDDPMpp(nn.Module):
    """The residual block of DDPM with the norm and the rescaled sum of NCSN++.

    Attributes:
      activation: the nonlinearity.
      features: channels out.
      dropout: rate.
      skip_rescale: whether the sum is divided by sqrt(2).
      init_scale: variance scale of the last convolution.
      shortcut: (x, features) -> x with that many channels, used where the block changes them.
    """

    activation: Activation
    features: int
    dropout: float
    skip_rescale: bool
    init_scale: float
    shortcut: Callable[[Array, int], Array] = nin_shortcut

    @nn.compact
    def __call__(self, x: Array, temb: Array | None, train: bool) -> Array:
        """Maps x, (B, H, W, C), and temb, (B, E) or None, to (B, H, W, features)."""
        h = self.activation(ncsnpp_group_norm(x))
        h = conv3x3(h, self.features)
        h = _shift_by_time(h, temb, self.activation)
        h = self.activation(ncsnpp_group_norm(h))
        h = nn.Dropout(self.dropout)(h, deterministic=not train)
        h = conv3x3(h, self.features, init_scale=self.init_scale)
        shortcut = x if x.shape == h.shape else self.shortcut(x, self.features)
        return add(shortcut, h, self.skip_rescale)


class ResnetBlockDDPM(nn.Module):
    """The residual block of DDPM.

    Attributes:
      activation: the nonlinearity.
      normalize: the norm, a function of (B, H, W, C).
      features: channels out.
      dropout: rate.
    """

    activation: Activation
    normalize: Normalization
    features: int
    dropout: float

    @nn.compact
    def __call__(self, x: Array, temb: Array | None, train: bool) -> Array:
        """Maps x, (B, H, W, C), and temb, (B, E) or None, to (B, H, W, features)."""
        h = self.activation(self.normalize(x))
        h = conv3x3(h, self.features)
        h = _shift_by_time(h, temb, self.activation)
        h = self.activation(self.normalize(h))
        h = nn.Dropout(self.dropout)(h, deterministic=not train)
        h = conv3x3(h, self.features, init_scale=0.0)
        return (x if x.shape == h.shape else nin_shortcut(x, self.features)) + h


def _shift_by_time(h: Array, temb: Array | None, activation: Activation) -> Array:
    """h + dense(act(temb)) at every pixel; h itself in an unconditional network."""
    if temb is None:
        return h
    return h + dense(activation(temb), h.shape[-1])[:, None, None, :]
