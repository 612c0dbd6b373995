"""The 2021 JAX checkpoints: their networks draw what they drew, and damage is found."""

import commands
import flax.serialization
import jax
import msgpack
import numpy as np
import pytest
import weight_files
from weight_files import NAMES, NETWORKS

from scoresde_jax import interop
from scoresde_jax.interop import original


@pytest.mark.parametrize("name", NAMES)
def test_outputs_are_those_of_the_2021_code(name):
    with np.load(weight_files.GOLDEN / f"{name}.npz") as stored:
        golden = dict(stored)
    x, label = golden["x"], golden["cond"]
    # The VE network of 2021 centres its input and divides by sigma; ours leaves that to score.py.
    centred, sigma = (2 * x - 1, label) if name == "ncsnpp_ve" else (x, np.ones_like(label))
    apply = jax.jit(NETWORKS[name].apply, compiler_options=commands.COMPILER)
    for source in (weight_files.jax_file(name), weight_files.torch_file(name)):
        weights = interop.read_weights(source, weight_files.golden_shapes(name))
        assert weights.step == weights.count == golden["step"] and not weights.lacks
        for field, wanted in (("params", "out_params"), ("ema_params", "out_ema")):
            output = np.asarray(apply({"params": getattr(weights, field)}, centred, label))
            output = output / sigma[:, None, None, None]
            largest = np.abs(golden[wanted]).max()
            assert np.abs(output - golden[wanted]).max() < 1e-5 * largest  # 3e-6 is seen


@pytest.fixture
def state():
    """A whole training state of a small network, and what it should be read as."""
    shapes = {
        "Conv_0/kernel": (3, 3, 1, 2),
        "GroupNorm_0/scale": (2,),
        "Norm_0/alpha": (1, 1, 1, 2),
    }
    weights = weight_files.random_weights(shapes)
    return weight_files.original_state(weights), weights, shapes


def test_round_trip(tmp_path, state):
    state, weights, shapes = state
    path = weight_files.write_original(tmp_path / "checkpoint_1", state)
    weight_files.assert_same(interop.read_weights(path, shapes), weights)


@pytest.mark.parametrize("key", ["lr", "model_state", "ema_rate", "rng"])
def test_what_no_sampler_needs_may_be_missing(tmp_path, state, key):
    state, weights, shapes = state
    del state[key]
    path = weight_files.write_original(tmp_path / "checkpoint_1", state)
    result = interop.read_weights(path, shapes)
    weight_files.assert_same(result, weights)
    assert not result.lacks


def test_more_than_is_known_may_be_there(tmp_path, state):
    """score_flow has states with more in them."""
    state, weights, shapes = state
    state |= {"ema_train_bpd": 3.0, "model_state": {"batch_stats": {"mean": np.ones(3)}}}
    path = weight_files.write_original(tmp_path / "checkpoint_1", state)
    weight_files.assert_same(interop.read_weights(path, shapes), weights)


def test_without_an_optimizer_the_averages_serve(tmp_path, state):
    state, weights, shapes = state
    del state["optimizer"]
    path = weight_files.write_original(tmp_path / "checkpoint_1", state)
    result = interop.read_weights(path, shapes)
    averaged = weights._replace(params=weights.ema_params, count=0)
    zeros = {"mu": result.mu, "nu": result.nu}
    assert not any(
        leaf.any() for tree in zeros.values() for leaf in weight_files.flat(tree).values()
    )
    weight_files.assert_same(result, averaged._replace(**zeros))
    assert [what.split(";")[0] for what in result.lacks] == ["parameters", "optimiser moments"]


def test_half_of_the_moments_are_none(tmp_path, state):
    state, _, shapes = state
    del state["optimizer"]["state"]["step"]
    path = weight_files.write_original(tmp_path / "checkpoint_1", state)
    result = interop.read_weights(path, shapes)
    assert result.count == 0 and "optimiser moments" in result.lacks[0]


def array_of(shape, dtype, content):
    payload = msgpack.packb([shape, dtype, content])
    return {"params_ema": {"w": msgpack.ExtType(original.ARRAY, payload)}}


HOSTILE = {
    "more bytes than there are": array_of([2**40], "float32", b"1234"),
    "fewer bytes than there are": array_of([1], "float32", b"12345678"),
    "negative": array_of([-1, -1], "float32", b"1234"),
    "objects": array_of([1], "object", b"12345678"),
    "records": array_of([1], "i4,i4", b"12345678"),
    "a million values": array_of([1], "1000000f4", b"1234"),
    "no dtype": array_of([1], 7, b"1234"),
    "no shape": array_of("x", "float32", b"1234"),
    "no list": {"params_ema": {"w": msgpack.ExtType(original.ARRAY, msgpack.packb(1))}},
    "complex number": {"params_ema": {"w": msgpack.ExtType(2, msgpack.packb([1.0, 2.0]))}},
    "many dimensions": array_of([1] * 40, "float32", b"1234"),
    "no state": {"a": 1, "b": 2},
    "a long list": {"params_ema": list(range(1000))},
    "keys that are numbers": {"params_ema": {1: 2}},
    "no dict": {"params_ema": 7},
    "a long name": {"params_ema": {"a" * 1000: {"b": 1}}},
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
def test_what_is_no_state_is_refused(tmp_path, content):
    path = tmp_path / "checkpoint_1"
    path.write_bytes(msgpack.packb(content))
    with pytest.raises(ValueError, match=f"{path} cannot be imported: "):
        interop.read_weights(path, {"w": (1,)})


def test_lists_within_lists(tmp_path):
    path = tmp_path / "checkpoint_1"
    path.write_bytes(b"\x81\xaaparams_ema" + b"\xdd\x00\x00\x00\x01" * 100_000 + b"\x00")
    with pytest.raises(ValueError, match="as msgpack it is truncated or damaged"):
        interop.read_weights(path, {"w": (1,)})


def test_truncated_anywhere(tmp_path):
    content = weight_files.jax_file("ddpmpp_vp").read_bytes()
    path = tmp_path / "checkpoint_1"
    for length in [*range(0, 60), *np.linspace(60, len(content) - 1, 60).astype(int)]:
        path.write_bytes(content[:length])
        with pytest.raises(ValueError, match=str(path)):
            interop.read_weights(path, weight_files.golden_shapes("ddpmpp_vp"))


def test_flipped_bits_are_refused_or_change_numbers_only(tmp_path):
    """The format has no checksum: a bit of a weight is as good as its opposite."""
    content = weight_files.jax_file("ddpmpp_vp").read_bytes()
    path, rng = tmp_path / "checkpoint_1", np.random.default_rng(0)
    refused = 0
    for _ in range(60):
        damaged = bytearray(content)
        damaged[rng.integers(0, len(content))] ^= 1 << rng.integers(0, 8)
        path.write_bytes(damaged)
        try:
            weights = interop.read_weights(path, weight_files.golden_shapes("ddpmpp_vp"))
        except ValueError as error:
            refused += 1
            assert str(path) in str(error)
        else:
            leaves = weight_files.flat(weights.params).values()
            assert all(np.isfinite(leaf).all() for leaf in leaves)
    assert 0 < refused < 60


def test_the_writer_of_these_tests_writes_what_the_2021_code_wrote():
    golden = flax.serialization.msgpack_restore(weight_files.jax_file("ddpmpp_vp").read_bytes())
    shapes = weight_files.golden_shapes("ddpmpp_vp")
    weights = interop.read_weights(weight_files.jax_file("ddpmpp_vp"), shapes)
    ours = weight_files.flat(weight_files.original_state(weights))
    theirs = weight_files.flat(golden)
    assert ours.keys() == theirs.keys()
    for path in ours.keys() - {"lr", "ema_rate", "rng"}:
        found, wanted = np.asarray(ours[path]), np.asarray(theirs[path])
        assert (found.shape, found.dtype) == (wanted.shape, wanted.dtype), path
        np.testing.assert_array_equal(found, wanted)
