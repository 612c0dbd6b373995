"""Interpolation keeps to the arc between two latents."""

import jax
import jax.numpy as jnp
import numpy as np

from scoresde_jax.sampling import spherical_interpolation

SHAPE = (3, 4, 4, 2)


def norms(z):
    return np.linalg.norm(np.asarray(z).reshape(*z.shape[:-3], -1), axis=-1)


def test_ends_are_given_and_steps_are_even():
    z0, z1 = (jax.random.normal(jax.random.key(i), SHAPE) for i in (0, 1))
    z1 = z1 * (norms(z0) / norms(z1))[:, None, None, None]  # as long as z0
    path = spherical_interpolation(z0, z1, 7)
    np.testing.assert_allclose(path[0], z0, atol=1e-6)
    np.testing.assert_allclose(path[-1], z1, atol=1e-6)
    # On a sphere, chords of equal arcs are equal; float32.
    np.testing.assert_allclose(norms(path), np.broadcast_to(norms(z0), (7, 3)), rtol=1e-5)
    chords = norms(np.diff(path, axis=0))
    np.testing.assert_allclose(chords, np.broadcast_to(chords[:1], chords.shape), rtol=1e-4)


def test_equal_and_opposite_latents_are_joined_by_a_line():
    z = jax.random.normal(jax.random.key(0), SHAPE)
    np.testing.assert_allclose(spherical_interpolation(z, z, 3), jnp.stack([z] * 3), atol=1e-6)
    path = spherical_interpolation(z, -z, 3)
    np.testing.assert_allclose(path, jnp.stack([z, 0 * z, -z]), atol=1e-5)
