"""Residual blocks equal the 2021 code's; dropout acts in training only."""

from functools import partial

import jax
import numpy as np
import pytest

from scoresde_jax.models.blocks import ResnetBlockBigGANpp, ResnetBlockDDPMpp
from scoresde_jax.models.layers import conv3x3
from scoresde_jax.models.resample import fir_upsample, mean_downsample
from tests.golden.golden import load, relative_error

TOLERANCE = 1e-5  # float32 sums in another order give about 1e-6
SETTINGS = {"activation": jax.nn.swish, "dropout": 0.5, "init_scale": 0.0}
BLOCKS = {
    "biggan_block_c20": ResnetBlockBigGANpp(
        features=16,
        skip_rescale=True,
        resample=partial(fir_upsample, kernel=(1, 3, 3, 1)),
        **SETTINGS,
    ),
    "biggan_block_down_nofir": ResnetBlockBigGANpp(
        features=12, skip_rescale=False, resample=mean_downsample, **SETTINGS
    ),
    "ddpmpp_block_conv_shortcut": ResnetBlockDDPMpp(
        features=12, skip_rescale=False, shortcut=conv3x3, **SETTINGS
    ),
}


@pytest.fixture(params=BLOCKS, ids=BLOCKS)
def case(request):
    return BLOCKS[request.param], load(f"b_layers/{request.param}")


def test_blocks(case):
    block, golden = case
    x, temb = golden.arrays["input0"], golden.arrays["input1"]
    found = block.apply({"params": golden.params}, x, temb, train=False)
    assert relative_error(found, golden.arrays["out"]) < TOLERANCE


def test_dropout(case):
    block, golden = case
    x, temb = golden.arrays["input0"], golden.arrays["input1"]

    def run(seed):
        key = jax.random.key(seed)
        return block.apply({"params": golden.params}, x, temb, train=True, rngs={"dropout": key})

    np.testing.assert_array_equal(run(0), run(0))
    assert relative_error(run(0), run(1)) > 0.01


def test_unconditional_block_has_no_time_layer(case):
    block, golden = case
    init = partial(block.init, train=False)
    variables = jax.eval_shape(init, jax.random.key(0), golden.arrays["input0"], None)
    assert set(golden.params) - set(variables["params"]) == {"Dense_0"}
