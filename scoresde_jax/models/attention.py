"""Self-attention over the pixels of a feature map, one head over all channels.

    out = x + NIN(softmax(q k^T / sqrt(C)) v),   q, k, v = NIN(norm(x))        (Ho et al. 2020)

`AttnBlock` is DDPM's, `AttnBlockpp` NCSN++'s; they differ in the norm and in the rescaled sum.
"""

import jax
import jax.numpy as jnp
from flax import linen as nn

from scoresde_jax.models.layers import NIN, add
from scoresde_jax.models.normalization import Normalization, ncsnpp_group_norm
from scoresde_jax.types import Array


def _attend(normalized: Array, init_scale: float) -> Array:
    """NIN(softmax(q k^T / sqrt(C)) v) for (B, H, W, C)."""
    batch, height, width, channels = normalized.shape
    tokens = normalized.reshape(batch, height * width, channels)
    q, k, v = (NIN(channels)(tokens) for _ in range(3))
    logits = jnp.einsum("bqc,bkc->bqk", q * channels**-0.5, k)
    weights = jax.nn.softmax(logits.astype(jnp.float32), axis=-1).astype(v.dtype)
    out = NIN(channels, init_scale)(jnp.einsum("bqk,bkc->bqc", weights, v))
    return out.reshape(normalized.shape)


class AttnBlock(nn.Module):
    """The attention of DDPM.

    Attributes:
      normalize: the norm, a function of (B, H, W, C).
    """

    normalize: Normalization

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Maps (B, H, W, C) -> (B, H, W, C)."""
        return x + _attend(self.normalize(x), init_scale=0.0)


class AttnBlockpp(nn.Module):
    """The attention of NCSN++.

    Attributes:
      skip_rescale: whether the sum is divided by sqrt(2).
      init_scale: variance scale of the last layer.
    """

    skip_rescale: bool
    init_scale: float

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Maps (B, H, W, C) -> (B, H, W, C)."""
        return add(x, _attend(ncsnpp_group_norm(x), self.init_scale), self.skip_rescale)
