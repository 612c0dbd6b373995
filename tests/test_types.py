"""`bcast` lines times up with examples."""

import jax.numpy as jnp
import numpy as np
import pytest

from scoresde_jax.types import bcast


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
