"""Precision and recomputation change how a network is computed, not what it computes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_parameters import random_parameters

from scoresde_jax.models import DDPM, NCSN, NCSNpp, NCSNv2

LEVELS = {"channel_multipliers": (1, 2), "blocks_per_level": 1, "attention_resolutions": (4,)}
NETWORKS = {
    "ddpmpp": NCSNpp(features=8, **LEVELS),
    "ncsnpp": NCSNpp(features=8, fir=True, progressive_input="residual", **LEVELS),
    "ncsnpp-ddpm-blocks": NCSNpp(features=8, block="ddpm", **LEVELS),
    "ddpm": DDPM(features=32, **LEVELS),
    "ncsn": NCSN(features=8),
    "ncsnv2": NCSNv2(features=8),
}
X = jax.random.normal(jax.random.key(1), (2, 8, 8, 3))
LABEL = jnp.asarray([1.0, 3.0])
every_network = pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)


def loss(network):
    def of(params):
        rngs = {"dropout": jax.random.key(2)}
        return jnp.sum(network.apply({"params": params}, X, LABEL, train=True, rngs=rngs) ** 2)

    return of


def params(network):
    # Last layers start at almost nothing; make every gradient count.
    tree = random_parameters(network, X, LABEL, scale=0.1)
    return jax.tree.map(lambda leaf: leaf.astype(np.float32), tree)


@pytest.mark.parametrize("network", [NETWORKS[name] for name in ("ncsnpp", "ddpm", "ncsnv2")])
def test_recomputation_changes_no_name_and_no_number(network):
    again = network.clone(remat_resolutions=(8, 4, 2, 1))
    tree = params(network)
    shapes = jax.eval_shape(again.init, jax.random.key(0), X, LABEL)["params"]
    assert jax.tree.map(jnp.shape, tree) == jax.tree.map(jnp.shape, shapes)

    def run(network):
        function = jax.jit(jax.value_and_grad(loss(network)))
        return function(tree)

    kept, recomputed = run(network), run(again)
    norm = max(float(jnp.abs(g).max()) for g in jax.tree.leaves(kept[1]))
    # The same operations; XLA may fuse them differently.
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5 * norm), kept, recomputed
    )


@every_network
def test_only_blocks_of_the_heights_that_are_named_are_recomputed(network):
    def blocks(heights):
        net = network.clone(remat_resolutions=heights)
        tree = jax.eval_shape(net.init, jax.random.key(0), X, LABEL)["params"]
        return str(jax.make_jaxpr(loss(net))(tree)).count("prevent_cse=")

    none, high, low, both = (blocks(h) for h in ((), (8,), (4, 2, 1), (8, 4, 2, 1)))
    assert none == 0 < min(high, low)
    assert both == high + low


@every_network
def test_half_precision_keeps_parameters_and_output_in_float32(network):
    half = network.clone(dtype=jnp.bfloat16)
    tree = params(network)
    run = jax.jit(lambda net: net.apply({"params": tree}, X, LABEL), static_argnums=0)
    exact, found = run(network), run(half)
    assert found.dtype == jnp.float32
    error = float(jnp.abs(found - exact).max() / jnp.abs(exact).max())
    # bfloat16 has 8 bits, 0.4 % per operation, and there are tens of layers.
    assert 1e-4 < error < 0.1
    shapes = jax.eval_shape(half.init, jax.random.key(0), X, LABEL)
    assert {leaf.dtype for leaf in jax.tree.leaves(shapes)} == {jnp.dtype("float32")}
