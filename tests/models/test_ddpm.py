"""DDPM equals the 2021 network for every norm, with its parameter names."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scoresde_jax.models import DDPM
from tests.golden.golden import load, names, relative_error
from tests.golden.networks import apply, network, shapes

OUTPUT = 1e-4  # float32; 2e-6 is usual, as between the original and its PyTorch port

GOLDEN = names("b_models", "ddpm_")


@pytest.mark.parametrize("name", GOLDEN)
def test_parameters(name):
    golden = load(name)
    found = shapes(network(golden.meta["config"]["full"]), golden.arrays["x"].shape[1:])
    assert found == golden.shapes
    assert sum(map(np.prod, found.values())) == golden.meta["total_params"]


@pytest.mark.parametrize("name", GOLDEN)
def test_output(name):
    golden = load(name)
    x, label = golden.arrays["x"], golden.arrays["cond"]
    found = apply(golden.meta["config"]["full"], golden.params, x, label)
    assert relative_error(found, golden.arrays["out"]) < OUTPUT


@pytest.mark.parametrize(
    ("count", "size", "fields"),
    [
        (35_218_947, 32, {}),
        (32_329_347, 32, {"conditional": False}),
        (111_569_923, 256, {"channel_multipliers": (1, 1, 2, 2, 4, 4)}),
    ],
)
def test_sizes_of_the_released_networks(count, size, fields):
    assert sum(map(np.prod, shapes(DDPM(**fields), (size, size, 3)).values())) == count


def test_half_precision():
    net = DDPM(features=32, channel_multipliers=(1, 1), blocks_per_level=1, dtype=jnp.bfloat16)
    x = jnp.ones((1, 8, 8, 3))
    found, variables = jax.eval_shape(net.init_with_output, jax.random.key(0), x, jnp.ones(1))
    assert found.dtype == jnp.float32
    assert {v.dtype for v in jax.tree.leaves(variables)} == {jnp.dtype("float32")}


@pytest.mark.parametrize("field", ["normalization", "activation"])
def test_unknown_choice(field):
    with pytest.raises(ValueError, match=rf"DDPM\.{field} is 'nonesuch'; known are '"):
        DDPM(**{field: "nonesuch"})
