"""The network of the Frechet Inception Distance: InceptionV3 as trained on 2015-12-05.

    images -> 299 x 299 as TensorFlow 1 resized -> (x - 128) / 128 -> pool (2048,), logits (1008,)

Its graph (Szegedy et al. 2016, "Rethinking the Inception Architecture") with what FID's copy does
otherwise: averages near a border are of the pixels there are, and the last block pools by maximum
(both noted by M. Seitzer in pytorch-fid and by A. Obukhov in torch-fidelity).  Parts have the names
that torchvision gave them.

For inference: every convolution has a bias and no batch normalisation, which `interop/inception.py`
folds into both when it reads the weights.

Not here: the weights, which a user has to bring; distances (`evaluation/`).
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import lax

from scoresde_jax.models.resize import resize_tf1
from scoresde_jax.types import Array

SIZE = 299  # pixels a side
POOL, LOGITS = 2048, 1008

# Else accelerators round to 10 bits or fewer, and features depend on the machine.
PRECISION = lax.Precision.HIGHEST


def inception_features(params: Any, images: Array) -> tuple[Array, Array]:
    """Features of images; pure, for the caller to jit.

    Args:
      params: of `InceptionV3`, as `interop.inception` reads them.
      images: (B, H, W, C) uint8, of any size; grey ones, C = 1, stand for three equal channels.

    Returns:
      pool (B, 2048), what FID and KID compare, and logits (B, 1008).  The Inception Score of 2016
      is of logits without their bias, `params["fc"]["bias"]`.

    Raises:
      TypeError: images are not uint8.
      ValueError: they are of another shape.
    """
    return InceptionV3().apply({"params": params}, prepared(images))  # pyright: ignore[reportReturnType]


def prepared(images: Array) -> Array:
    """Images (B, H, W, C) uint8, C = 1 or 3, as the network takes them; raises as above."""
    if images.dtype != np.uint8:
        raise TypeError(
            f"Inception takes images of uint8, 0 to 255; these are {images.dtype}. Round them as "
            "their pictures are written."
        )
    if images.ndim != 4 or images.shape[3] not in (1, 3) or 0 in images.shape:
        raise ValueError(
            "Inception takes images of shape (B, H, W, 1) or (B, H, W, 3); these are "
            f"{images.shape}."
        )
    x = (resize_tf1(images, SIZE) - 128) / 128
    return jnp.broadcast_to(x, (*x.shape[:3], 3))


class InceptionV3(nn.Module):
    """The network; ``apply({"params": params}, x)``."""

    @nn.compact
    def __call__(self, x: Array) -> tuple[Array, Array]:
        """Maps x, (B, 299, 299, 3) in [-1, 1), to pool (B, 2048) and logits (B, 1008)."""
        x = unit(x, "Conv2d_1a_3x3", 32, (3, 3), strides=2)
        x = unit(x, "Conv2d_2a_3x3", 32, (3, 3), padding="VALID")
        x = unit(x, "Conv2d_2b_3x3", 64, (3, 3))
        x = halved(x)
        x = unit(x, "Conv2d_3b_1x1", 80)
        x = unit(x, "Conv2d_4a_3x3", 192, (3, 3), padding="VALID")
        x = halved(x)
        x = BlockA(pooled=32, name="Mixed_5b")(x)
        x = BlockA(pooled=64, name="Mixed_5c")(x)
        x = BlockA(pooled=64, name="Mixed_5d")(x)
        x = BlockB(name="Mixed_6a")(x)
        x = BlockC(inner=128, name="Mixed_6b")(x)
        x = BlockC(inner=160, name="Mixed_6c")(x)
        x = BlockC(inner=160, name="Mixed_6d")(x)
        x = BlockC(inner=192, name="Mixed_6e")(x)
        x = BlockD(name="Mixed_7a")(x)
        x = BlockE(pool=average, name="Mixed_7b")(x)
        x = BlockE(pool=maximum, name="Mixed_7c")(x)
        pool = x.mean(axis=(1, 2))
        return pool, nn.Dense(LOGITS, precision=PRECISION, name="fc")(pool)


def unit(
    x: Array,
    name: str,
    features: int,
    kernel: tuple[int, int] = (1, 1),
    *,
    strides: int = 1,
    padding: str | None = None,
) -> Array:
    """A convolution, its bias, and what is positive of it; steps of two leave the border out."""
    padding = padding or ("SAME" if strides == 1 else "VALID")
    conv = nn.Conv(features, kernel, strides, padding, precision=PRECISION, name=name)
    return jax.nn.relu(conv(x))


def halved(x: Array) -> Array:
    """Maxima of 3 x 3 pixels, every other one: (B, (H - 1) // 2, (W - 1) // 2, C)."""
    return nn.max_pool(x, (3, 3), (2, 2))


def average(x: Array) -> Array:
    """Means of those of 3 x 3 pixels that are within the image."""
    return nn.avg_pool(x, (3, 3), (1, 1), "SAME", count_include_pad=False)


def maximum(x: Array) -> Array:
    """Maxima of 3 x 3 pixels."""
    return nn.max_pool(x, (3, 3), (1, 1), "SAME")


def joined(*branches: Array) -> Array:
    """Branches side by side, as channels."""
    return jnp.concatenate(branches, axis=-1)


class BlockA(nn.Module):
    """Convolutions of 1, 5 and twice 3 pixels; `pooled` are the channels of the pool's branch."""

    pooled: int

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Maps (B, 35, 35, C) to (B, 35, 35, 224 + pooled)."""
        five = unit(x, "branch5x5_1", 48)
        five = unit(five, "branch5x5_2", 64, (5, 5))
        three = unit(x, "branch3x3dbl_1", 64)
        three = unit(three, "branch3x3dbl_2", 96, (3, 3))
        three = unit(three, "branch3x3dbl_3", 96, (3, 3))
        pool = unit(average(x), "branch_pool", self.pooled)
        return joined(unit(x, "branch1x1", 64), five, three, pool)


class BlockB(nn.Module):
    """Halves the image: a convolution of 3, three of them, a pool."""

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Maps (B, 35, 35, C) to (B, 17, 17, 480 + C)."""
        three = unit(x, "branch3x3dbl_1", 64)
        three = unit(three, "branch3x3dbl_2", 96, (3, 3))
        three = unit(three, "branch3x3dbl_3", 96, (3, 3), strides=2)
        return joined(unit(x, "branch3x3", 384, (3, 3), strides=2), three, halved(x))


class BlockC(nn.Module):
    """Rows and columns of 7 pixels; `inner` are the channels between them."""

    inner: int

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Maps (B, 17, 17, C) to (B, 17, 17, 768)."""
        once = unit(x, "branch7x7_1", self.inner)
        once = unit(once, "branch7x7_2", self.inner, (1, 7))
        once = unit(once, "branch7x7_3", 192, (7, 1))
        twice = unit(x, "branch7x7dbl_1", self.inner)
        twice = unit(twice, "branch7x7dbl_2", self.inner, (7, 1))
        twice = unit(twice, "branch7x7dbl_3", self.inner, (1, 7))
        twice = unit(twice, "branch7x7dbl_4", self.inner, (7, 1))
        twice = unit(twice, "branch7x7dbl_5", 192, (1, 7))
        pool = unit(average(x), "branch_pool", 192)
        return joined(unit(x, "branch1x1", 192), once, twice, pool)


class BlockD(nn.Module):
    """Halves the image: convolutions of 3, of 7 and 3, a pool."""

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Maps (B, 17, 17, C) to (B, 8, 8, 512 + C)."""
        three = unit(x, "branch3x3_1", 192)
        three = unit(three, "branch3x3_2", 320, (3, 3), strides=2)
        seven = unit(x, "branch7x7x3_1", 192)
        seven = unit(seven, "branch7x7x3_2", 192, (1, 7))
        seven = unit(seven, "branch7x7x3_3", 192, (7, 1))
        seven = unit(seven, "branch7x7x3_4", 192, (3, 3), strides=2)
        return joined(three, seven, halved(x))


class BlockE(nn.Module):
    """Rows of 3 pixels beside columns of 3; `pool` is `average` or `maximum`."""

    pool: Callable[[Array], Array]

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Maps (B, 8, 8, C) to (B, 8, 8, 2048)."""
        once = unit(x, "branch3x3_1", 384)
        once_row = unit(once, "branch3x3_2a", 384, (1, 3))
        once_column = unit(once, "branch3x3_2b", 384, (3, 1))
        twice = unit(x, "branch3x3dbl_1", 448)
        twice = unit(twice, "branch3x3dbl_2", 384, (3, 3))
        twice_row = unit(twice, "branch3x3dbl_3a", 384, (1, 3))
        twice_column = unit(twice, "branch3x3dbl_3b", 384, (3, 1))
        pool = unit(self.pool(x), "branch_pool", 192)
        one = unit(x, "branch1x1", 320)
        return joined(one, once_row, once_column, twice_row, twice_column, pool)
