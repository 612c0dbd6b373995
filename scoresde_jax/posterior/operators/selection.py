"""Choosing some of the coordinates of a transform: what masks of all kinds share."""

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np

from scoresde_jax.types import Array, register_pytree


@register_pytree
@dataclass(frozen=True)
class Selection:
    """The chosen entries of the axes after the first, in order."""

    mask: np.ndarray | Array  # bool, the axes that are chosen from
    index: np.ndarray | Array  # (M,) where mask is True, flat

    def pick(self, c: Array) -> Array:
        """(B, *mask axes, ...) -> (B, M, ...)."""
        axes = self.mask.ndim
        return c.reshape(c.shape[0], -1, *c.shape[1 + axes :])[:, jnp.asarray(self.index)]

    def place(self, y: Array) -> Array:
        """(B, M, ...) -> (B, *mask axes, ...), 0 where nothing was chosen."""
        flat = jnp.zeros((y.shape[0], self.mask.size, *y.shape[2:]), y.dtype)
        placed = flat.at[:, jnp.asarray(self.index)].set(y)
        return placed.reshape(y.shape[0], *self.mask.shape, *y.shape[2:])


def selection(mask: np.ndarray, what: str) -> Selection:
    """Of the entries where mask is True.

    Raises:
      ValueError: none is, or mask is not boolean.
    """
    mask = np.asarray(mask)
    if mask.dtype != bool:
        raise ValueError(f"{what} is boolean, True where measured; it is {mask.dtype}.")
    if not mask.any():
        raise ValueError(f"{what} is False everywhere: nothing would be measured.")
    return Selection(mask, np.flatnonzero(mask).astype(np.int32))


def random_choice(size: int, share: float, seed: int) -> np.ndarray:
    """Bool (size,), True for a share of places drawn at random, at least one.

    Raises:
      ValueError: share is not in (0, 1].
    """
    if not 0 < share <= 1:
        raise ValueError(f"share is a part of all, more than 0 and at most 1; it is {share}.")
    chosen = np.random.default_rng(seed).permutation(size)[: max(1, round(share * size))]
    return np.isin(np.arange(size), chosen)
