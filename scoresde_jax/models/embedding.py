"""Embeddings of what a network is told: its time label, and the class of the image."""

import jax
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


class ClassEmbedding(nn.Module):
    """A learned vector for each class, and one for no class, which stands in for some in training.

    So one network learns the score of every class and of all together (Ho & Salimans 2022).

    Attributes:
      classes: how many; y = classes stands for no class.
      features: channels out.
      dropout: how often a class is left out in training.
    """

    classes: int
    features: int
    dropout: float

    @nn.compact
    def __call__(self, y: Array, train: bool) -> Array:
        """Maps (B,) int32 in 0 .. classes to (B, features); in training takes a "dropout" key."""
        if train:
            left_out = jax.random.bernoulli(self.make_rng("dropout"), self.dropout, y.shape)
            y = jnp.where(left_out, self.classes, y)
        return nn.Embed(self.classes + 1, self.features, name="table")(y)


def add_class(temb: Array, y: Array | None, classes: int, dropout: float, train: bool) -> Array:
    """Adds the embedding of a class to that of time, (B, E); y None is no class for all.

    To be called within a network that knows of classes; others have no parameters for it.
    """
    if y is None:
        y, train = jnp.full(temb.shape[:1], classes, jnp.int32), False
    return temb + ClassEmbedding(classes, temb.shape[-1], dropout)(y, train).astype(temb.dtype)


def check_classes(network: str, classes: int, conditional: bool) -> None:
    """Raises ValueError for a network that is told of classes and cannot hear of them."""
    if classes and not conditional:
        raise ValueError(
            f"{network}.image_classes is {classes} and .conditional is False: classes reach the "
            "network with the time label; set conditional, or image_classes to 0."
        )
