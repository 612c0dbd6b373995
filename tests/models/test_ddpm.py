"""DDPM equals the 2021 network for every norm, with its parameter names."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from golden import load, names, relative_error

from scoresde_jax.models import DDPM

OUTPUT = 1e-4  # float32; 2e-6 is usual, as between the original and its PyTorch port

GOLDEN = names("b_models", "ddpm_")
NORMS = {
    "GroupNorm": "group",
    "InstanceNorm": "instance",
    "InstanceNorm++": "instance++",
    "VarianceNorm": "variance",
}


def network(golden):
    model = golden.meta["config"]["full"]["model"]
    return DDPM(
        features=model["nf"],
        channel_multipliers=tuple(model["ch_mult"]),
        blocks_per_level=model["num_res_blocks"],
        attention_resolutions=tuple(model["attn_resolutions"]),
        dropout=model["dropout"],
        resample_with_conv=model["resamp_with_conv"],
        conditional=model["conditional"],
        normalization=NORMS[model["normalization"]],
        activation=model["nonlinearity"],
    )


def shapes(net, size=32):
    tree = jax.eval_shape(net.init, jax.random.key(0), jnp.ones((1, size, size, 3)), jnp.ones(1))[
        "params"
    ]
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {"/".join(key.key for key in path): leaf.shape for path, leaf in leaves}


@pytest.mark.parametrize("name", GOLDEN)
def test_parameters(name):
    golden = load(name)
    found = shapes(network(golden), golden.arrays["x"].shape[1])
    assert found == golden.shapes
    assert sum(map(np.prod, found.values())) == golden.meta["total_params"]


@pytest.mark.parametrize("name", GOLDEN)
def test_output(name):
    golden = load(name)
    full, x, label = golden.meta["config"]["full"], golden.arrays["x"], golden.arrays["cond"]
    found = network(golden).apply(
        {"params": golden.params}, x if full["data"]["centered"] else 2 * x - 1, label
    )
    if full["model"]["scale_by_sigma"]:
        ends = np.log([full["model"]["sigma_max"], full["model"]["sigma_min"]])
        sigmas = np.exp(np.linspace(*ends, full["model"]["num_scales"])).astype(np.float32)
        found = found / sigmas[label.astype(int)][:, None, None, None]
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
    assert sum(map(np.prod, shapes(DDPM(**fields), size).values())) == count


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
