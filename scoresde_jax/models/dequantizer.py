"""The flow of Flow++ that dequantizes: normal noise, and an image, to a point in each unit cell.

    u = flow(eps; y) in (0, 1)^D,  eps ~ N(0, I)
    log q(u | y) = log N(eps; 0, I) - log |det du/deps|            (Ho et al. 2019, section 3.1)

Scaled noise is logistic to within 0.01 nats a dimension, couplings move it in that space, and a
sigmoid takes it to (0, 1): the flow starts as nearly uniform dequantization.  Before each coupling
every value has an affine map of its own, and every pixel may have its channels mixed.

Not here: the bound, and the noises that need no network (`likelihood/dequantization.py`); the
couplings (`coupling.py`).
"""

import math

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax

from scoresde_jax.models.coupling import GatedStack, MixLogisticCoupling, small_conv3x3
from scoresde_jax.types import Array

# Of all a, sigmoid(a eps) is then nearest to uniform: KL(q || U) = 0.0095 nats.
LOGISTIC_SCALE = 1.75
# u keeps 2^-16 from 0 and 1, so that y + u stays in its level in float32, for up to 256 levels.
MARGIN = 2.0**-16

# What a coupling may split in two by taking every other one.
AXES = {"rows": 1, "columns": 2, "channels": 3}


class DequantizationFlow(nn.Module):
    """The conditional flow; ``apply({"params": params}, eps, image)``.

    Sizes that score_flow trained (Song et al. 2021b), all with splits ("columns",), which its code
    calls a checkerboard, with 32 filters for the image and 32 components but for the last:

                    couplings filters blocks heads pointwise context_blocks context_heads
      CIFAR-10          4        96      2     4      yes          3              0
      ImageNet 32       8       128      8     4      no           8              4
      ImageNet 64       4        96      5     0      no           5              0     components 4

    Unlike there, affine maps and convolutions start from fixed values, not from a batch of data:
    the input is standard normal, which is what data would be scaled to. One matrix mixes the
    channels of both halves, the image's blocks have a LayerNorm, and nothing comes between the last
    block and the last convolution.

    Attributes:
      filters: channels within couplings.
      components: logistics in the mixture of each value.
      blocks: gated blocks in a coupling.
      heads: of attention in a coupling; 0 for none.
      couplings: each moves one half of the image; an even number moves both equally often.
      context_filters: channels of what couplings are told of the image.
      context_blocks: gated blocks that make it.
      context_heads: of attention there; 0 for none.
      pointwise: whether a matrix mixes the channels before each coupling.
      splits: what two couplings after another split: "rows", "columns" or "channels"; in turn.
    """

    filters: int = 96
    components: int = 32
    blocks: int = 2
    heads: int = 4
    couplings: int = 4
    context_filters: int = 32
    context_blocks: int = 3
    context_heads: int = 0
    pointwise: bool = True
    splits: tuple[str, ...] = ("columns",)

    def __post_init__(self):
        unknown = [split for split in self.splits if split not in AXES]
        if unknown or not self.splits:
            known = ", ".join(repr(name) for name in AXES)
            raise ValueError(f"DequantizationFlow.splits is {self.splits}; known are {known}.")
        for filters, heads in (("filters", "heads"), ("context_filters", "context_heads")):
            width, number = getattr(self, filters), getattr(self, heads)
            if number and width % number:
                raise ValueError(
                    f"DequantizationFlow.{filters} is {width}, which {number} {heads} do not "
                    "divide; make it a multiple of them."
                )
        super().__post_init__()

    @nn.compact
    def __call__(self, eps: Array, image: Array) -> tuple[Array, Array]:
        """Maps noise to u in (0, 1), given the image.

        Args:
          eps: (B, H, W, C) standard normal.
          image: (B, H, W, C) levels scaled to [-1, 1].

        Returns:
          u, (B, H, W, C), at least 2^-16 from 0 and 1, and log |det du/deps|, (B,) nats.

        Raises:
          ValueError: for an odd number of rows or columns, or one channel, that are to be split.
        """
        _check_splits(self.splits, eps.shape)
        # One split is told of the image in one way: its halves side by side, as channels.
        contexts = {
            split: GatedStack(
                self.context_filters, self.context_blocks, self.context_heads, small_conv3x3
            )(_side_by_side(image.astype(eps.dtype), split))
            for split in dict.fromkeys(self.splits)
        }
        h = LOGISTIC_SCALE * eps
        log_det = jnp.full(eps.shape[0], eps[0].size * math.log(LOGISTIC_SCALE), eps.dtype)
        for i in range(self.couplings):
            h, more = ElementAffine()(h)
            log_det += more
            if self.pointwise:
                h, more = Pointwise()(h)
                log_det += more
            split = self.splits[i // 2 % len(self.splits)]
            halves = list(_halves(h, AXES[split]))
            coupling = MixLogisticCoupling(self.filters, self.components, self.blocks, self.heads)
            moving = (i + 1) % 2
            passing = halves[1 - moving]
            halves[moving], more = coupling(passing, halves[moving], contexts[split])
            log_det += more
            h = _interleave(halves[0], halves[1], AXES[split])
        u, more = inner_sigmoid(h)
        return u, log_det + more


class ElementAffine(nn.Module):
    """Scales and shifts every value of an image by numbers of its place; starts as the identity."""

    @nn.compact
    def __call__(self, x: Array) -> tuple[Array, Array]:
        """Maps (B, H, W, C) to itself; the log-determinant, (), is the same for all."""
        log_scale = self.param("log_scale", nn.initializers.zeros, x.shape[1:]).astype(x.dtype)
        shift = self.param("shift", nn.initializers.zeros, x.shape[1:]).astype(x.dtype)
        return x * jnp.exp(log_scale) + shift, log_scale.sum()


class Pointwise(nn.Module):
    """An invertible matrix of the channels of all pixels (Kingma & Dhariwal 2018)."""

    @nn.compact
    def __call__(self, x: Array) -> tuple[Array, Array]:
        """Maps (B, H, W, C) to itself; the log-determinant, (), is the same for all."""
        channels = x.shape[-1]
        matrix = self.param("W", _noisy_identity, (channels, channels)).astype(x.dtype)
        pixels = x.shape[1] * x.shape[2]
        return x @ matrix, pixels * jnp.linalg.slogdet(matrix).logabsdet


def _noisy_identity(key: Array, shape: tuple[int, ...], dtype=jnp.float32) -> Array:
    return jnp.eye(*shape, dtype=dtype) + 1e-3 * jax.random.normal(key, shape, dtype)


def inner_sigmoid(h: Array) -> tuple[Array, Array]:
    """u = MARGIN + (1 - 2 MARGIN) sigmoid(h), and log |det|, (B,) nats, for h (B, H, W, C)."""
    log_slope = jax.nn.log_sigmoid(h) + jax.nn.log_sigmoid(-h) + math.log1p(-2 * MARGIN)
    return MARGIN + (1 - 2 * MARGIN) * jax.nn.sigmoid(h), log_slope.sum(axis=(1, 2, 3))


def _check_splits(splits: tuple[str, ...], shape: tuple[int, ...]) -> None:
    for split in splits:
        size = shape[AXES[split]]
        if size < 2 or (split != "channels" and size % 2):
            need = "two channels or more" if split == "channels" else f"an even number of {split}"
            raise ValueError(
                f"DequantizationFlow splits {split}, which takes {need}, and images are "
                f"{shape[1:]}; choose other splits."
            )


def _side_by_side(image: Array, split: str) -> Array:
    """The image over the places of a half: (B, H, W / 2, 2 C) for columns."""
    if split == "channels":
        return image
    return jnp.concatenate(_halves(image, AXES[split]), axis=-1)


def _halves(x: Array, axis: int) -> tuple[Array, Array]:
    """Every other slice, from the first and from the second; the first half may have one more."""
    size = x.shape[axis]
    return (
        lax.slice_in_dim(x, 0, size, stride=2, axis=axis),
        lax.slice_in_dim(x, 1, size, stride=2, axis=axis),
    )


def _interleave(first: Array, second: Array, axis: int) -> Array:
    """Undoes `_halves`."""
    size = first.shape[axis] + second.shape[axis]

    def spread(x: Array, start: int) -> Array:
        # (before, after, between) each slice
        gaps = [(0, 0, 0)] * x.ndim
        gaps[axis] = (start, size - start - (2 * x.shape[axis] - 1), 1)
        return lax.pad(x, jnp.zeros((), x.dtype), gaps)

    return spread(first, 0) + spread(second, 1)
