"""`bcast` lines times up with examples."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scoresde_jax.types import bcast, register_pytree


@pytest.mark.parametrize("shape", [(3,), (3, 2), (3, 2, 4, 1)])
def test_bcast_multiplies_example_by_example(shape):
    x = jnp.arange(np.prod(shape), dtype=jnp.float32).reshape(shape)
    t = jnp.asarray([1.0, 2.0, -3.0])
    product = bcast(t, x) * x
    for i in range(3):
        np.testing.assert_array_equal(product[i], t[i] * x[i])


def test_bcast_of_one_time_is_that_time_for_all():
    x = jnp.ones((3, 2, 2, 1))
    np.testing.assert_array_equal(bcast(2.0, x) * x, 2 * x)
    np.testing.assert_array_equal(bcast(jnp.asarray(2.0), x) * x, 2 * x)


@register_pytree
@dataclass(frozen=True)
class Here:
    a: float
    b: float = 2.0


@register_pytree
@dataclass(frozen=True)
class There:
    a: float
    b: float = 2.0


def test_a_registered_class_is_its_fields():
    doubled = jax.tree.map(lambda leaf: 2 * leaf, Here(1.0))
    assert doubled == Here(2.0, 4.0)
    paths = [str(path[0]) for path, _ in jax.tree_util.tree_leaves_with_path(Here(1.0))]
    assert paths == [".a", ".b"]
    assert jax.jit(lambda value: value)(Here(3.0)) == Here(3.0, 2.0)


def test_classes_with_as_many_fields_are_different_structures():
    """Else a jitted function confuses them, once in a hundred processes."""
    assert jax.tree.structure(Here(1.0)) != jax.tree.structure(There(1.0))
    assert jax.tree.structure(Here(1.0)) == jax.tree.structure(Here(3.0))
