"""What NCSN and NCSNv2 take and refuse; the golden files check that they equal the originals."""

import jax.numpy as jnp
import numpy as np
import pytest
from random_parameters import quickly, random_parameters

from scoresde_jax.models import NCSN, NCSNv2


def test_labels_may_be_floats():
    net = NCSN(features=4, classes=3)
    x = jnp.linspace(-1, 1, 3 * 8 * 8).reshape(3, 8, 8, 1)
    params = {"params": random_parameters(net, x, jnp.zeros(3))}
    apply = quickly(net.apply)
    whole, real = apply(params, x, jnp.arange(3)), apply(params, x, jnp.arange(3.0))
    np.testing.assert_array_equal(whole, real)
    assert not np.allclose(apply(params, x, jnp.zeros(3)), whole)  # the class matters


@pytest.mark.parametrize("field", ["size", "normalization", "activation", "interpolation"])
def test_unknown_choice(field):
    with pytest.raises(ValueError, match=rf"NCSNv2\.{field} is 'nonesuch'; known are "):
        NCSNv2(**{field: "nonesuch"})


def test_divisors():
    found = [net.divisor for net in (NCSN(), NCSNv2(size=64), NCSNv2(size=128), NCSNv2(size=256))]
    assert found == [2, 2, 4, 8]
