"""Normalisation layers: GroupNorm, and the three instance norms of the NCSN line.

    y = gamma (x - mean) / sqrt(var + eps) + beta

They differ in what the moments are taken over and in what happens to the means; each class says so.
Class names and parameter names are those of the 2021 checkpoints.
"""

from collections.abc import Callable

import jax.numpy as jnp
from flax import linen as nn
from jax import lax

from scoresde_jax.types import Array

INSTANCE_EPSILON = 1e-5  # of the 2021 InstanceNorm, InstanceNorm++ and VarianceNorm
GROUP_EPSILON = 1e-6  # flax's default in 2021; PyTorch's 1e-5 does not reproduce the weights


class GroupNorm(nn.Module):
    """Group normalisation (Wu & He 2018): moments over pixels and the channels of a group.

    Moments are in float32, the variance from centred values; the 2021 code takes
    E[x^2] - E[x]^2, which agrees to rounding.

    Attributes:
      groups: number of groups, a divisor of the channel count.
    """

    groups: int

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Normalises x, (B, ..., C)."""
        channels = x.shape[-1]
        if self.groups < 1 or channels % self.groups:
            raise ValueError(
                f"GroupNorm splits {channels} channels into {self.groups} groups, which does not "
                "come out even; choose the network's features as a multiple of 4 up to 128, of 32 "
                "above that and for DDPM."
            )
        scale = self.param("scale", nn.initializers.ones, (channels,))
        bias = self.param("bias", nn.initializers.zeros, (channels,))
        h = x.astype(jnp.float32).reshape(x.shape[0], -1, channels)
        mean = self._group_mean(h)
        variance = self._group_mean(jnp.square(h - mean))
        slope = lax.rsqrt(variance + GROUP_EPSILON) * scale
        return (h * slope + (bias - mean * slope)).reshape(x.shape).astype(x.dtype)

    def _group_mean(self, h: Array) -> Array:
        """Means of h, (B, N, C), over pixels and groups, given to each channel: (B, 1, C).

        Pixels first, then the few channel means: XLA:CPU is twice as fast this way round.
        """
        batch, _, channels = h.shape
        means = h.mean(axis=1).reshape(batch, self.groups, channels // self.groups).mean(axis=-1)
        return jnp.repeat(means, channels // self.groups, axis=-1)[:, None, :]


def ncsnpp_group_norm(x: Array) -> Array:
    """GroupNorm with min(C // 4, 32) groups, as everywhere in NCSN++."""
    return GroupNorm(min(x.shape[-1] // 4, 32))(x)


def ddpm_group_norm(x: Array) -> Array:
    """GroupNorm with 32 groups, as everywhere in DDPM (Ho et al. 2020)."""
    return GroupNorm(32)(x)


class InstanceNorm2d(nn.Module):
    """Instance normalisation: moments over the pixels of one channel of one example."""

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Normalises x, (B, H, W, C)."""
        shape = (1, 1, 1, x.shape[-1])
        scale = self.param("scale", nn.initializers.ones, shape).astype(x.dtype)
        bias = self.param("bias", nn.initializers.zeros, shape).astype(x.dtype)
        centred = x - x.mean(axis=(1, 2), keepdims=True)
        return _unit_variance(centred, x) * scale + bias


class VarianceNorm2d(nn.Module):
    """Divides by the standard deviation over pixels, leaves the mean, and has no bias."""

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Normalises x, (B, H, W, C)."""
        shape = (1, 1, 1, x.shape[-1])
        scale = self.param("scale", _normal_around_one, shape).astype(x.dtype)
        return _unit_variance(x, x) * scale


class InstanceNorm2dPlus(nn.Module):
    """InstanceNorm++: instance norm plus alpha times the channel means, normalised over channels.

    y = gamma ((x - mu) / sd + alpha (mu - m) / v) + beta, m and v the mean and standard deviation
    of the C means mu of an example (Song & Ermon 2019, App. A.1).  Both deviations are biased.
    """

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Normalises x, (B, H, W, C)."""
        shape = (1, 1, 1, x.shape[-1])
        around_one = _normal_around_one
        alpha = self.param("alpha", around_one, shape).astype(x.dtype)
        gamma = self.param("gamma", around_one, shape).astype(x.dtype)
        beta = self.param("beta", nn.initializers.zeros, shape).astype(x.dtype)
        return gamma * _instance_norm_plus(x, alpha) + beta


class ConditionalInstanceNorm2dPlus(nn.Module):
    """InstanceNorm++ with gamma, alpha and beta of the example's class (Song & Ermon 2019).

    y = gamma_c ((x - mu) / sd + alpha_c (mu - m) / v) + beta_c

    Attributes:
      classes: number of classes.
    """

    classes: int

    @nn.compact
    def __call__(self, x: Array, index: Array) -> Array:
        """Normalises x, (B, H, W, C), each example by its class, (B,) int32 in [0, classes)."""

        def start(key, shape, dtype=jnp.float32):
            around_one = _normal_around_one(key, (shape[0], 2 * channels), dtype)
            return jnp.concatenate([around_one, jnp.zeros((shape[0], channels), dtype)], axis=1)

        channels = x.shape[-1]
        table = nn.Embed(self.classes, 3 * channels, embedding_init=start, dtype=x.dtype)(index)
        gamma, alpha, beta = jnp.split(table[:, None, None, :], 3, axis=-1)
        return gamma * _instance_norm_plus(x, alpha) + beta


def _instance_norm_plus(x: Array, alpha: Array) -> Array:
    """x at unit variance, plus alpha times its channel means, normalised over channels."""
    means = x.mean(axis=(1, 2), keepdims=True)
    spread = means.var(axis=-1, keepdims=True) + INSTANCE_EPSILON
    contrast = (means - means.mean(axis=-1, keepdims=True)) * lax.rsqrt(spread)
    return _unit_variance(x - means, x) + alpha * contrast


def _unit_variance(centred: Array, x: Array) -> Array:
    """Divides by the standard deviation of each channel of x over its pixels."""
    return centred * lax.rsqrt(x.var(axis=(1, 2), keepdims=True) + INSTANCE_EPSILON)


def _normal_around_one(key, shape, dtype=jnp.float32) -> Array:
    """Draws from N(1, 0.02^2), the initial value of alpha and gamma in NCSN."""
    return 1.0 + 0.02 * nn.initializers.normal(1.0)(key, shape, dtype)


Normalization = Callable[[Array], Array]

# The spellings of DDPM's `normalization`.
NORMALIZATIONS: dict[str, Normalization] = {
    "group": ddpm_group_norm,
    "instance": lambda x: InstanceNorm2d()(x),
    "instance++": lambda x: InstanceNorm2dPlus()(x),
    "variance": lambda x: VarianceNorm2d()(x),
}
