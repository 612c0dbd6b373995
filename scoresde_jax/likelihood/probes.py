"""Random probes v with E[v v^T] = I, so that E[v^T J v] is the trace of J (Hutchinson 1990)."""

import jax
import jax.numpy as jnp

from scoresde_jax.types import Array


def rademacher(key: Array, shape: tuple[int, ...]) -> Array:
    """Signs: of all probes the least variance, and none at all where J is diagonal."""
    return jax.random.rademacher(key, shape, dtype=jnp.float32)


def gaussian(key: Array, shape: tuple[int, ...]) -> Array:
    """Standard normal entries."""
    return jax.random.normal(key, shape)
