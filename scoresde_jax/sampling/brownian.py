"""A Brownian motion that can be asked for its value at any time, in any order.

    B(0) = 0,   B(1) ~ N(0, 1),   and given B(a), B(b):   B(m) ~ N((B(a) + B(b)) / 2, (b - a) / 4)

with m halfway. Halving [0, 1] towards t (Lévy's construction) finds B(t) from a key, without a
memory: a solver that takes back a step and tries a shorter one stays on the same path.
"""

import jax
import jax.numpy as jnp

from scoresde_jax.types import Array

_DEPTH = 23  # halvings: to the spacing of float32 times below 1; a line within that


def brownian(key: Array, t: Array, shape: tuple[int, ...]) -> Array:
    """B(t) (shape) at one t () in [0, 1], every entry a motion of its own, in the dtype of t."""

    def normal(node: Array | int) -> Array:
        return jax.random.normal(jax.random.fold_in(key, node), shape, t.dtype)

    def halve(
        i: Array, state: tuple[Array, Array, Array, Array]
    ) -> tuple[Array, Array, Array, Array]:
        node, low, left, right = state  # nodes as in a heap: the children of n are 2 n and 2 n + 1
        width = jnp.ldexp(jnp.ones_like(t), -i)
        middle = (left + right) / 2 + jnp.sqrt(width) / 2 * normal(node)
        above = t >= low + width / 2
        return (
            2 * node + above,
            jnp.where(above, low + width / 2, low),
            jnp.where(above, middle, left),
            jnp.where(above, right, middle),
        )

    start = (jnp.ones((), jnp.int32), jnp.zeros_like(t), jnp.zeros(shape, t.dtype), normal(0))
    _, low, left, right = jax.lax.fori_loop(0, _DEPTH, halve, start)
    return left + (t - low) * 2.0**_DEPTH * (right - left)
