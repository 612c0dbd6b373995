"""NCSN and NCSNv2 equal the 2021 networks, with their parameter names and sizes."""

from functools import partial

import commands
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scoresde_jax.models import NCSN, NCSNv2
from tests.golden.golden import load, names, relative_error
from tests.golden.networks import apply, network, shapes

OUTPUT = 1e-4  # float32; 2e-6 is usual

GOLDEN = [*names("b_models", "ncsn_v1"), *names("b_models", "ncsnv2_")]


@pytest.mark.parametrize("name", GOLDEN)
def test_parameters(name):
    golden = load(name)
    found = shapes(network(golden.meta["config"]["full"]), golden.arrays["x"].shape[1:])
    assert found == golden.shapes


@pytest.mark.parametrize("name", GOLDEN)
def test_output(name):
    golden = load(name)
    run = jax.jit(partial(apply, golden.meta["config"]["full"]), compiler_options=commands.COMPILER)
    found = run(golden.params, golden.arrays["x"], golden.arrays["cond"])
    assert relative_error(found, golden.arrays["out"]) < OUTPUT


@pytest.mark.parametrize(
    ("net", "size", "count"),
    [
        (NCSN(classes=10), 32, 34_428_675),
        (NCSN(classes=232), 32, 44_828_931),
        (NCSN(classes=500), 64, 57_384_195),
        (NCSNv2(size=64), 32, 33_970_563),
        (NCSNv2(size=128), 128, 83_445_379),
    ],
)
def test_sizes_of_the_released_networks(net, size, count):
    assert sum(map(np.prod, shapes(net, (size, size, 3)).values())) == count


def test_labels_may_be_floats():
    net = NCSN(features=4, classes=3)
    x = jnp.linspace(-1, 1, 3 * 8 * 8).reshape(3, 8, 8, 1)
    params = net.init(jax.random.key(0), x, jnp.zeros(3))
    apply = jax.jit(net.apply, compiler_options=commands.COMPILER)
    whole, real = apply(params, x, jnp.arange(3)), apply(params, x, jnp.arange(3.0))
    np.testing.assert_array_equal(whole, real)
    assert not np.allclose(apply(params, x, jnp.zeros(3)), whole)  # the class matters


@pytest.mark.parametrize("net", [NCSN, NCSNv2])
def test_half_precision(net):
    x = jnp.ones((1, 8, 8, 3))
    start = net(features=4, dtype=jnp.bfloat16).init_with_output
    found, variables = jax.eval_shape(start, jax.random.key(0), x, jnp.ones(1))
    assert found.dtype == jnp.float32
    assert {v.dtype for v in jax.tree.leaves(variables)} == {jnp.dtype("float32")}


@pytest.mark.parametrize("field", ["size", "normalization", "activation", "interpolation"])
def test_unknown_choice(field):
    with pytest.raises(ValueError, match=rf"NCSNv2\.{field} is 'nonesuch'; known are "):
        NCSNv2(**{field: "nonesuch"})


def test_divisors():
    found = [net.divisor for net in (NCSN(), NCSNv2(size=64), NCSNv2(size=128), NCSNv2(size=256))]
    assert found == [2, 2, 4, 8]
