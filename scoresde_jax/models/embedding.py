"""Embeddings of the network's time label: sinusoids, and random Fourier features."""

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import lax

from scoresde_jax.types import Array


def timestep_embedding(label: Array, features: int) -> Array:
    """Sinusoids of the label: sin(label w_i), cos(label w_i), w_i = 10^(-4 i / (half - 1)).

    Vaswani et al. 2017 as varied by Ho et al. 2020 (half - 1, sines first); an odd last channel
    is zero.

    Args:
      label: (B,) time label, about 0 to 1000, not necessarily whole.
      features: channels out, at least 4.

    Returns:
      (B, features).
    """
    half = features // 2
    frequencies = jnp.exp(jnp.arange(half) * (-np.log(10000.0) / (half - 1)))
    angles = label.astype(jnp.float32)[:, None] * frequencies[None, :]
    waves = jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], axis=-1)
    return jnp.pad(waves, ((0, 0), (0, features % 2)))


class GaussianFourierProjection(nn.Module):
    """Random Fourier features sin(2 pi W u), cos(2 pi W u) with W ~ N(0, scale^2), never trained.

    Tancik et al. 2020; NCSN++ of continuous times feeds u = log sigma.

    Attributes:
      features: number of frequencies; the output has twice as many channels.
      scale: standard deviation of the frequencies.
    """

    features: int
    scale: float

    @nn.compact
    def __call__(self, u: Array) -> Array:
        """Maps (B,) -> (B, 2 features)."""
        w = self.param("W", nn.initializers.normal(self.scale), (self.features,))
        angles = u[:, None] * lax.stop_gradient(w)[None, :] * 2 * np.pi
        return jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], axis=-1)
