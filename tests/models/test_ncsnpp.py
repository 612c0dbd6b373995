"""What NCSN++ and DDPM++ start as, and what they refuse.

That they equal the 2021 network is checked with the golden files, their sizes with the configs.
"""

import jax
import jax.numpy as jnp
import pytest

from scoresde_jax.models import NCSNpp
from tests.golden.golden import load, relative_error
from tests.golden.networks import network

OUTPUT = 1e-4  # float32; 2e-6 is usual, as between the original and its PyTorch port
DDPMPP = load("b_models/ncsnpp_ddpmpp_like")


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


@pytest.mark.parametrize(
    "field",
    ["block", "progressive", "progressive_input", "progressive_combine", "embedding", "activation"],
)
def test_unknown_choice(field):
    with pytest.raises(ValueError, match=rf"NCSNpp\.{field} is 'nonesuch'; known are '"):
        NCSNpp(**{field: "nonesuch"})
