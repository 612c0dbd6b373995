"""Moving about among latents, the noise that the flow maps to data."""

import jax.numpy as jnp

from scoresde_jax.types import Array, bcast


def spherical_interpolation(z0: Array, z1: Array, count: int) -> Array:
    """Points from z0 to z1 on the arc between them (Shoemake 1985).

    sin((1 - w) a) / sin(a) z0 + sin(w a) / sin(a) z1,   a the angle between them, w even in [0, 1]

    Latents of many dimensions all have nearly one length, and a straight line between two of them
    leaves the shell; the arc of equal lengths stays in it.

    Args:
      z0, z1: (B, ...).
      count: points, both ends among them.

    Returns:
      (count, B, ...).
    """
    flat0, flat1 = (z.reshape(z.shape[0], -1) for z in (z0, z1))
    lengths = jnp.linalg.norm(flat0, axis=1) * jnp.linalg.norm(flat1, axis=1)
    cosine = jnp.sum(flat0 * flat1, axis=1) / lengths
    angle = jnp.arccos(jnp.clip(cosine, -1.0, 1.0))
    w = jnp.linspace(0.0, 1.0, count)[:, None]
    # sin(w a) / sin(a) is w where there is no angle; where it is straight there is no one arc.
    straight = jnp.sin(angle) < 1e-4
    sine = jnp.where(straight, 1.0, jnp.sin(angle))
    before = jnp.where(straight, 1 - w, jnp.sin((1 - w) * angle) / sine)
    after = jnp.where(straight, w, jnp.sin(w * angle) / sine)
    return bcast(before, z0[None]) * z0 + bcast(after, z1[None]) * z1
