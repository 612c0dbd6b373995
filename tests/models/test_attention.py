"""Attention equals the 2021 code's, and does not care for the order of pixels."""

from scoresde_jax.models.attention import AttnBlock, AttnBlockpp
from scoresde_jax.models.normalization import ddpm_group_norm
from tests.golden.golden import load, relative_error

TOLERANCE = 1e-5  # float32 sums in another order give about 1e-6
DDPM = load("b_layers/attn_ddpm_c64")


def test_ddpm_attention():
    found = AttnBlock(ddpm_group_norm).apply({"params": DDPM.params}, DDPM.arrays["input0"])
    assert relative_error(found, DDPM.arrays["out"]) < TOLERANCE


def test_ncsnpp_attention():
    golden = load("b_layers/attnpp_c160_groupcap")
    block = AttnBlockpp(skip_rescale=True, init_scale=0.0)
    found = block.apply({"params": golden.params}, golden.arrays["input0"])
    assert relative_error(found, golden.arrays["out"]) < TOLERANCE


def test_pixels_are_a_set():
    block, x = AttnBlock(ddpm_group_norm), DDPM.arrays["input0"]
    flipped = block.apply({"params": DDPM.params}, x[:, ::-1])
    assert relative_error(flipped[:, ::-1], DDPM.arrays["out"]) < TOLERANCE
