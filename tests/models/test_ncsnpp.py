"""NCSN++ and DDPM++ equal the 2021 network, switch by switch, with its parameter names."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scoresde_jax.models import NCSNpp
from tests.golden.golden import load, names, relative_error
from tests.golden.networks import apply, network, shapes

OUTPUT = 1e-4  # float32; 2e-6 is usual, as between the original and its PyTorch port
GRADIENT = 1e-3  # the same, through twice as many layers

GOLDEN = names("b_models", "ncsnpp_")
DDPMPP = load("b_models/ncsnpp_ddpmpp_like")


def output(golden, params, x):
    return apply(golden.meta["config"]["full"], params, x, golden.arrays["cond"])


@pytest.mark.parametrize("name", GOLDEN)
def test_parameters(name):
    golden = load(name)
    found = shapes(network(golden.meta["config"]["full"]), golden.arrays["x"].shape[1:])
    assert found == golden.shapes
    assert sum(map(np.prod, found.values())) == golden.meta["total_params"]


@pytest.mark.parametrize("name", GOLDEN)
def test_output(name):
    golden = load(name)
    found = output(golden, golden.params, golden.arrays["x"])
    assert relative_error(found, golden.arrays["out"]) < OUTPUT


def test_gradients():
    golden = load("b_models/ncsnpp_outskip_inskip_cat")

    def value(params, x):
        return jnp.sum(output(golden, params, x) * golden.arrays["cotangent"])

    by_params, by_x = jax.jit(jax.grad(value, (0, 1)))(golden.params, golden.arrays["x"])
    assert relative_error(by_x, golden.arrays["vjp_x"]) < GRADIENT
    flat = dict(jax.tree_util.tree_leaves_with_path(by_params))
    norms = {"/".join(k.key for k in path): float(jnp.linalg.norm(g)) for path, g in flat.items()}
    found = np.array([norms[path] for path in golden.shapes])
    assert relative_error(found, golden.arrays["param_grad_l2norm"]) < GRADIENT


NCSNPP = {"fir": True, "progressive_input": "residual"}
SKIPS = {
    "fir": True,
    "progressive": "output_skip",
    "progressive_input": "input_skip",
    "embedding": "fourier",
}


@pytest.mark.parametrize(
    ("count", "size", "fields"),
    [
        (61_804_419, 32, {}),
        (106_632_579, 32, {"blocks_per_level": 8}),
        (62_693_251, 32, NCSNPP),
        (107_521_411, 32, {"blocks_per_level": 8, **NCSNPP}),
        (62_758_915, 32, {"embedding": "fourier", **NCSNPP}),
        (107_587_075, 32, {"blocks_per_level": 8, "embedding": "fourier", **NCSNPP}),
        (
            65_574_549,
            256,
            {"channel_multipliers": (1, 1, 2, 2, 2, 2, 2), "blocks_per_level": 2, **SKIPS},
        ),
        (
            105_785_896,
            1024,
            {
                "features": 16,
                "channel_multipliers": (1, 2, 4, 8, 16, 32, 32, 32),
                "blocks_per_level": 1,
                **SKIPS,
            },
        ),
    ],
)
def test_sizes_of_the_released_networks(count, size, fields):
    assert sum(map(np.prod, shapes(NCSNpp(**fields), (size, size, 3)).values())) == count


def test_starts_at_almost_zero():
    net = NCSNpp(features=4, channel_multipliers=(1,), blocks_per_level=1, attention_resolutions=())
    x = jnp.ones((1, 4, 4, 3))
    found, _ = jax.jit(net.init_with_output)(jax.random.key(0), x, jnp.ones(1))
    assert 0 < float(jnp.abs(found).max()) < 1e-3


def test_dropout_acts_in_training():
    net = network(DDPMPP.meta["config"]["full"]).clone(dropout=0.5)

    def run(**options):
        x, label = DDPMPP.arrays["x"], DDPMPP.arrays["cond"]
        return net.apply({"params": DDPMPP.params}, x, label, **options)

    one, two = (run(train=True, rngs={"dropout": jax.random.key(seed)}) for seed in (0, 1))
    assert relative_error(one, two) > 0.01
    assert relative_error(run(), DDPMPP.arrays["out"]) < OUTPUT


def test_half_precision():
    net = network(DDPMPP.meta["config"]["full"]).clone(dtype=jnp.bfloat16)
    x, label = DDPMPP.arrays["x"], DDPMPP.arrays["cond"]
    found = jax.jit(net.apply)({"params": DDPMPP.params}, x, label)
    assert found.dtype == jnp.float32
    # bfloat16 has 8 bits: 0.4 % per operation.
    assert 1e-4 < relative_error(found, DDPMPP.arrays["out"]) < 0.05
    tree = jax.eval_shape(net.init, jax.random.key(0), x, label)
    assert {leaf.dtype for leaf in jax.tree.leaves(tree)} == {jnp.dtype("float32")}


@pytest.mark.parametrize(
    "field",
    ["block", "progressive", "progressive_input", "progressive_combine", "embedding", "activation"],
)
def test_unknown_choice(field):
    with pytest.raises(ValueError, match=rf"NCSNpp\.{field} is 'nonesuch'; known are '"):
        NCSNpp(**{field: "nonesuch"})
