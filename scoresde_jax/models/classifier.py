"""A small classifier of small images: features for a distance, and log p(y | x) for guidance."""

import jax
from flax import linen as nn

from scoresde_jax.models.conv import conv_general_dilated
from scoresde_jax.models.embedding import GaussianFourierProjection
from scoresde_jax.types import Array

FOURIER_SCALE = 16.0  # the default of NCSNpp; the small configs of that set 1


class SmallClassifier(nn.Module):
    """Three 3x3 convolutions, the second of stride 2, and two dense layers.

    Attributes:
      classes: logits out.
      channels: of the first convolution; the others have twice as many.
      features: width of the layer before the logits.
    """

    classes: int = 10
    channels: int = 32
    features: int = 32

    @nn.compact
    def __call__(self, x: Array, t: Array | None = None) -> tuple[Array, Array]:
        """Maps images to features and logits.

        Args:
          x: (B, H, W, C), centred: levels scaled to [-1, 1], or noisy ones.
          t: (B,) what says how noisy, of about 1; None for a classifier of clean images, which has
            no parameters for it.

        Returns:
          features (B, features), at least 0, and logits (B, classes).
        """
        time = None if t is None else self._embedded(t)
        for i, (width, stride) in enumerate(((1, 1), (2, 2), (2, 1))):
            x = nn.Conv(
                width * self.channels,
                (3, 3),
                strides=stride,
                conv_general_dilated=conv_general_dilated,
                name=f"conv_{i}",
            )(x)
            if time is not None:
                x += nn.Dense(width * self.channels, name=f"time_{i}")(time)[:, None, None]
            x = jax.nn.relu(x)
        x = x.reshape(x.shape[0], -1)
        features = jax.nn.relu(nn.Dense(self.features, name="features")(x))
        return features, nn.Dense(self.classes, name="logits")(features)

    def _embedded(self, t: Array) -> Array:
        waves = GaussianFourierProjection(self.channels, FOURIER_SCALE, name="fourier")(t)
        return jax.nn.silu(nn.Dense(4 * self.channels, name="time")(waves))
