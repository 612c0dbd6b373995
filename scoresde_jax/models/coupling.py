"""A coupling of images: one half passes, and says how the values of the other half are moved.

    y = e^s logit F(x) + shift,    F(x) = sum_k pi_k sigmoid((x - m_k) / w_k)
    log dy/dx = s + log F'(x) - log F(x) - log(1 - F(x))           (Ho et al. 2019, section 3.2)

F, 1 - F and F' are summed in logarithms, so both tails keep their slope; the 2021 code takes the
logarithms of F and 1 - F clipped at 1e-7.  The numbers pi, m, w, s, shift of each value come from
`GatedStack`, the convolutions and attention of Flow++.

Not here: which half passes, and what is done between couplings (`dequantizer.py`).
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax.scipy.special import logsumexp

from scoresde_jax.models.layers import NIN, conv3x3
from scoresde_jax.types import Array

MIN_LOG_WIDTH = -7.0  # of a component, as in the 2021 code
SPREAD = 1.0  # initial means lie in (-1, 1): enough to tell components apart, little else changes


def mix_logistic_logit(
    x: Array, logits: Array, means: Array, log_widths: Array
) -> tuple[Array, Array]:
    """The logit of the distribution function of a mixture of logistics, and its log-slope.

    y = log F(x) - log(1 - F(x)),  log dy/dx = log F'(x) - log F(x) - log(1 - F(x)).  Where all
    components are the standard logistic, y = x.

    Args:
      x: (...) values.
      logits: (..., K) log-weights up to a constant.
      means: (..., K).
      log_widths: (..., K) logarithms of the components' scales.

    Returns:
      y and log dy/dx, (...) each.
    """
    z = (x[..., None] - means) * jnp.exp(-log_widths)
    log_weights = jax.nn.log_softmax(logits)
    below, above = jax.nn.log_sigmoid(z), jax.nn.log_sigmoid(-z)
    log_cdf = logsumexp(log_weights + below, axis=-1)
    log_survival = logsumexp(log_weights + above, axis=-1)
    log_pdf = logsumexp(log_weights + below + above - log_widths, axis=-1)
    return log_cdf - log_survival, log_pdf - log_cdf - log_survival


def initial_mixture(components: int) -> tuple[np.ndarray, float]:
    """Means (K,) and log-width of an even mixture with the mean and variance of one logistic.

    Components that start equal would stay equal.
    """
    means = (np.arange(components) - (components - 1) / 2) * (2 * SPREAD / components)
    # The variance of a logistic of width w is pi^2 w^2 / 3.
    return means.astype(np.float32), 0.5 * math.log1p(-3 * means.var() / math.pi**2)


class MixLogisticCoupling(nn.Module):
    """Moves one half of an image, given the other half and what is known of the image.

    It starts within a few per cent of the identity.

    Attributes:
      filters: channels within.
      components: logistics in the mixture of each value.
      blocks: gated blocks.
      heads: of attention; 0 for none.
    """

    filters: int
    components: int
    blocks: int
    heads: int

    @nn.compact
    def __call__(self, passing: Array, moving: Array, context: Array) -> tuple[Array, Array]:
        """Moves (B, H, W, c), given (B, H, W, C) and (B, H, W, D).

        Returns:
          What moved, (B, H, W, c), and log |det|, (B,) nats.
        """
        stack = GatedStack(self.filters, self.blocks, self.heads, small_nin)
        h = stack(passing, context)
        numbers = 2 + 3 * self.components
        raw = conv3x3(h, moving.shape[-1] * numbers, init_scale=0.0)
        raw = raw.reshape(*moving.shape, numbers)
        log_scale, shift = jnp.tanh(raw[..., 0]), raw[..., 1]
        logits, means, log_widths = jnp.split(raw[..., 2:], 3, axis=-1)
        mean, log_width = initial_mixture(self.components)
        log_widths = jnp.maximum(log_widths + log_width, MIN_LOG_WIDTH)
        moved, log_slope = mix_logistic_logit(moving, logits, means + mean, log_widths)
        log_det = (log_slope + log_scale).sum(axis=(1, 2, 3))
        return moved * jnp.exp(log_scale) + shift, log_det


def small_nin(x: Array, features: int) -> Array:
    """1x1 convolution with a small start, (..., C) -> (..., features)."""
    return NIN(features)(x)


def small_conv3x3(x: Array, features: int) -> Array:
    """3x3 convolution with a small start, (B, H, W, C) -> (B, H, W, features)."""
    return conv3x3(x, features, init_scale=0.1)


class GatedStack(nn.Module):
    """Features of an image: a convolution, then blocks of gated convolutions and attention.

    Each is followed by a LayerNorm of the channels.

    Attributes:
      filters: channels out.
      blocks: how many.
      heads: of attention; 0 for none.
      project: the last map of each gated convolution.
    """

    filters: int
    blocks: int
    heads: int
    project: Callable[[Array, int], Array]

    @nn.compact
    def __call__(self, x: Array, context: Array | None = None) -> Array:
        """Maps (B, H, W, C) to (B, H, W, filters), given (B, H, W, D) or nothing."""
        h = conv3x3(x, self.filters)
        if self.heads:
            start = nn.initializers.normal(0.01)
            place = self.param("position", start, h.shape[1:]).astype(h.dtype)
        for _ in range(self.blocks):
            h = _layer_norm(GatedConv(self.project)(h, context))
            if self.heads:
                h = _layer_norm(GatedAttention(self.heads)(h, place))
        return h


class GatedConv(nn.Module):
    """A gated residual block (van den Oord et al. 2016; Salimans et al. 2017).

    h = conv(concat_elu(x)) + NIN(concat_elu(context)),  a, b = project(concat_elu(h))
    out = x + a sigmoid(b)

    Attributes:
      project: (x, features) -> the last map.
    """

    project: Callable[[Array, int], Array]

    @nn.compact
    def __call__(self, x: Array, context: Array | None) -> Array:
        """Maps (B, H, W, C) to itself, given (B, H, W, D) or nothing."""
        channels = x.shape[-1]
        h = conv3x3(_concat_elu(x), channels)
        if context is not None:
            h = h + NIN(channels, init_scale=1.0)(_concat_elu(context))
        return x + _gate(self.project(_concat_elu(h), 2 * channels))


class GatedAttention(nn.Module):
    """Self-attention over pixels with several heads, gated.

    a, b = NIN(softmax(q k^T / sqrt(C / heads)) v),  q, k, v = NIN(x + place)
    out = x + a sigmoid(b)

    Attributes:
      heads: a divisor of the channels.
    """

    heads: int

    @nn.compact
    def __call__(self, x: Array, place: Array) -> Array:
        """Maps (B, H, W, C) to itself, given the position's embedding, (H, W, C)."""
        channels = x.shape[-1]
        depth = channels // self.heads
        qkv = NIN(3 * channels, init_scale=1.0)(x + place)
        q, k, v = jnp.moveaxis(qkv.reshape(x.shape[0], -1, 3, self.heads, depth), 2, 0)
        logits = jnp.einsum("bqhd,bkhd->bhqk", q * depth**-0.5, k)
        out = jnp.einsum("bhqk,bkhd->bqhd", jax.nn.softmax(logits), v).reshape(x.shape)
        return x + _gate(NIN(2 * channels)(out))


def _layer_norm(x: Array) -> Array:
    return nn.LayerNorm(epsilon=1e-5, use_fast_variance=False, dtype=x.dtype)(x)


def _concat_elu(x: Array) -> Array:
    return jax.nn.elu(jnp.concatenate([x, -x], axis=-1))


def _gate(x: Array) -> Array:
    a, b = jnp.split(x, 2, axis=-1)
    return a * jax.nn.sigmoid(b)
