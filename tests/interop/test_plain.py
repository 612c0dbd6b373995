"""Our exports come back bit for bit, and damage is found."""

import json

import numpy as np
import pytest
import weight_files
from safetensors.numpy import load_file, save_file

from scoresde_jax import interop

SHAPES = {"B/kernel": (2, 3), "A/bias": (4,)}
CONFIG = {"model": {"name": "ncsnpp", "features": 8, "channel_multipliers": [1, 1]}}


@pytest.fixture
def export(tmp_path):
    """A file, and what is in it."""
    weights = weight_files.random_weights(SHAPES)
    interop.write_weights(tmp_path / "x.safetensors", weights, config=CONFIG)
    return tmp_path / "x.safetensors", weights


def rewrite(path, metadata=None, **tensors):
    whole = {"format": "scoresde_jax", "version": "1", "step": "7", "count": "7", "config": "{}"}
    stored = {name.replace("__", "/"): tensor for name, tensor in tensors.items()}
    save_file(load_file(path) | stored, path, whole | (metadata or {}))


def test_round_trip_is_exact(export):
    path, weights = export
    result = interop.read_weights(path, SHAPES)
    weight_files.assert_same(result, weights)
    assert interop.stored_config(path) == CONFIG and not result.lacks


@pytest.mark.parametrize("name", weight_files.NAMES)
def test_imported_and_exported_and_imported(tmp_path, name):
    shapes = weight_files.golden_shapes(name)
    first = interop.read_weights(weight_files.torch_file(name), shapes)
    interop.write_weights(tmp_path / "x", first, config=CONFIG)  # the ending does not matter
    weight_files.assert_same(interop.read_weights(tmp_path / "x", shapes), first)


def test_arrays_that_are_views_are_written_in_order(tmp_path):
    """Kernels from PyTorch are transposed views."""
    kernel = np.arange(6, dtype=np.float32).reshape(3, 2).T
    weights = weight_files.random_weights(SHAPES)._replace(
        params={"B": {"kernel": kernel}, "A": {"bias": np.ones(4, np.float32)}}
    )
    interop.write_weights(tmp_path / "x", weights, config={})
    np.testing.assert_array_equal(
        interop.read_weights(tmp_path / "x", SHAPES).params["B"]["kernel"], kernel
    )


def test_anyone_can_read_it(export):
    path, weights = export
    tensors = load_file(path)
    assert set(tensors) == {
        f"{t}/{p}" for t in ("params", "ema_params", "mu", "nu") for p in SHAPES
    }
    np.testing.assert_array_equal(tensors["mu/B/kernel"], weights.mu["B"]["kernel"])


def test_averages_in_half_precision(tmp_path):
    """Enough to sample and score: an eighth of the bytes, each number within 2^-11 of itself."""
    shapes = {"B/kernel": (300, 200), "A/bias": (40,)}
    weights = weight_files.random_weights(shapes)
    whole, half = tmp_path / "whole", tmp_path / "half"
    interop.write_weights(whole, weights, config=CONFIG)
    interop.write_weights(half, weights, config=CONFIG, trees=interop.AVERAGES, dtype="float16")
    numbers = 300 * 200 + 40
    assert 2 * numbers < half.stat().st_size < 2 * numbers + 1000  # a header of a few lines
    assert whole.stat().st_size > 16 * numbers

    found = interop.read_weights(half, shapes)
    assert found.origin == "an export of scoresde_jax, float16"
    assert found.found == ("averaged parameters", "step")
    assert found.lacks == (
        "parameters; the averaged ones take their place",
        "optimiser moments; training goes on with fresh ones",
    )
    assert (found.step, found.count) == (weights.step, 0)
    for path, leaf in weight_files.flat(weights.ema_params).items():
        got = weight_files.flat(found.ema_params)[path]
        assert got.dtype == np.float32
        np.testing.assert_allclose(got, leaf, rtol=2**-11, atol=2**-25)  # half a unit; subnormals
        np.testing.assert_array_equal(got, weight_files.flat(found.params)[path])
        assert not weight_files.flat(found.mu)[path].any()
    assert interop.stored_config(half) == CONFIG


def test_a_number_that_half_precision_has_not(tmp_path):
    weights = weight_files.random_weights(SHAPES)
    weights.ema_params["A"]["bias"][2] = 7e4
    with pytest.raises(ValueError, match=r"ema_params/A/bias holds 7e\+04, and float16 ends at"):
        interop.write_weights(
            tmp_path / "x", weights, config={}, trees=interop.AVERAGES, dtype="float16"
        )
    assert not list(tmp_path.iterdir())


METADATA = {
    "of another program": ({"format": "pt"}, "not an export of scoresde_jax"),
    "of another version": ({"version": "2"}, "not an export of scoresde_jax, version 1"),
    "no step": ({"step": "many"}, "no step"),
    "a step of many digits": ({"step": "9" * 5000}, "no step"),
    "a step beyond all steps": ({"step": "9999999999"}, "not a whole number of steps"),
    "a negative count": ({"count": "-1"}, "no count"),
}


@pytest.mark.parametrize(("metadata", "message"), METADATA.values(), ids=METADATA)
def test_metadata_are_checked(export, metadata, message):
    path, _ = export
    rewrite(path, metadata)
    with pytest.raises(ValueError, match=message):
        interop.read_weights(path, SHAPES)


@pytest.mark.parametrize("config", ["", "[1]", '{"model": 1}', "[" * 100_000, "nonsense"])
def test_a_config_that_is_none(export, config):
    path, _ = export
    rewrite(path, {"config": config})
    with pytest.raises(ValueError, match=f"{path} cannot be imported: its metadata hold no config"):
        interop.stored_config(path)


def test_no_metadata_at_all(export):
    path, _ = export
    save_file(load_file(path), path)
    with pytest.raises(ValueError, match="not an export of scoresde_jax"):
        interop.read_weights(path, SHAPES)


def test_a_tree_that_is_not_ours(export):
    path, _ = export
    rewrite(path, other__B__kernel=np.ones(2, np.float32))
    with pytest.raises(ValueError, match="'other/B/kernel', which is none of params"):
        interop.read_weights(path, SHAPES)


def test_a_misfit_is_named(export):
    path, _ = export
    rewrite(path, params__B__kernel=np.ones((2, 2), np.float32))
    with pytest.raises(ValueError, match=r"B/kernel is \(2, 3\) in the network and \(2, 2\)"):
        interop.read_weights(path, SHAPES)


def test_truncated_anywhere(export):
    path, _ = export
    content = path.read_bytes()
    for length in range(0, len(content), 7):
        path.write_bytes(content[:length])
        with pytest.raises(ValueError, match=str(path)):
            interop.read_weights(path, SHAPES)


def test_a_header_that_claims_too_much(export):
    path, _ = export
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    for offsets in ([0, 2**40], [2**40, 2**41], [8, 4], [-4, 20]):
        entry = header["params/B/kernel"] | {"data_offsets": offsets}
        text = json.dumps(header | {"params/B/kernel": entry}).encode()
        path.write_bytes(len(text).to_bytes(8, "little") + text + content[8 + length :])
        with pytest.raises(ValueError, match="truncated or damaged"):
            interop.read_weights(path, SHAPES)


def test_nothing_is_left_of_an_export_that_fails(tmp_path, monkeypatch):
    def full(*_):
        raise OSError("No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError):
        interop.write_weights(tmp_path / "x", weight_files.random_weights(SHAPES), config={})
    assert not list(tmp_path.iterdir())
