"""Weights of FID's network are read from both forms, and from no other file."""

import hashlib
import os
import pickle
import tempfile
from pathlib import Path

import jax
import numpy as np
import pytest
import weight_files
from safetensors.numpy import save_file
from weight_files import Call, Global, Persistent

from scoresde_jax.interop import inception
from scoresde_jax.interop.inception import (
    convert_inception,
    folded,
    read_inception,
    tensor_shapes,
)

SHAPES = tensor_shapes()
# Numbers that all tensors share, from its first on, so that a file is not 95 MB long.
NUMBERS = np.random.RandomState(0).uniform(0.02, 1, 2048 * 1008).astype(np.float32)


def numbers(shape):
    return NUMBERS[: np.prod(shape)].reshape(shape)


def tensor(shape):
    """How a PyTorch file has it."""
    name = ("storage", Global("torch", "FloatStorage"), "shared", "cpu", NUMBERS.size)
    strides = tuple(int(np.prod(shape[i + 1 :])) for i in range(len(shape)))
    arguments = (Persistent(name), 0, shape, strides, False)
    return Call(Global("torch._utils", "_rebuild_tensor_v2"), arguments)


def state(**changes):
    """What a file holds; a change to None leaves a tensor out, a dot is written as two lines."""
    counts = {
        f"{name.removesuffix('.weight')}.num_batches_tracked": np.asarray(7)
        for name in SHAPES
        if name.endswith("bn.weight")
    }
    whole = {name: tensor(shape) for name, shape in SHAPES.items()} | counts
    whole |= {name.replace("__", "."): value for name, value in changes.items()}
    return {name: value for name, value in whole.items() if value is not None}


@pytest.fixture
def folder():
    """Emptied at once: pytest keeps its own, and these files are large."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def write(path, content):
    return weight_files.write_zip(path, content, **{"data/shared": NUMBERS.tobytes()})


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def assert_same(params, expected):
    jax.tree.map(np.testing.assert_array_equal, params, expected)


def test_the_tensors_are_those_of_torch_fidelity():
    """Of its 566, 94 are counts; of the others it trains all but means and variances."""
    assert len(SHAPES) == 566 - 94
    trained = [shape for name, shape in SHAPES.items() if ".running_" not in name]
    assert sum(map(np.prod, trained)) == 23_850_960


def test_normalisation_is_folded():
    """By its formula, on one layer; tests/models/test_inception.py has all."""
    rng = np.random.default_rng(0)
    tensors = {name: numbers(shape) for name, shape in SHAPES.items()}
    layer = "Mixed_7c.branch3x3_2a"
    tensors[f"{layer}.bn.running_mean"] = rng.normal(size=384).astype(np.float32)
    params = folded(tensors)["Mixed_7c"]["branch3x3_2a"]
    x = rng.normal(size=(1, 3, 384))  # pixels and channels below a kernel
    y = np.einsum("hwi,oihw->o", x, tensors[f"{layer}.conv.weight"])
    weight, bias, mean, var = (
        tensors[f"{layer}.bn.{name}"] for name in ("weight", "bias", "running_mean", "running_var")
    )
    expected = weight * (y - mean) / np.sqrt(var + 1e-3) + bias
    found = np.einsum("hwi,hwio->o", x, params["kernel"]) + params["bias"]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_a_file_of_pytorch(folder, monkeypatch):
    path = write(folder / "x.pth", state())
    monkeypatch.setattr(inception, "HASH", sha256(path)[:8])
    weights = read_inception(path)
    assert weights.sha256 == sha256(path)
    assert_same(weights.params, folded({name: numbers(shape) for name, shape in SHAPES.items()}))


def test_the_safetensors_form(folder, monkeypatch):
    source, path = write(folder / "x.pth", state()), folder / "x.safetensors"
    monkeypatch.setattr(inception, "HASH", sha256(source)[:8])
    convert_inception(source, path)
    first, second = read_inception(source), read_inception(path)
    assert second.sha256 == first.sha256  # it is the source's that is known
    assert_same(second.params, first.params)
    with open(path, "r+b") as stream:  # one bit
        stream.seek(-1000, os.SEEK_END)
        (byte,) = stream.read(1)
        stream.seek(-1000, os.SEEK_END)
        stream.write(bytes([byte ^ 1]))
    with pytest.raises(ValueError, match="its tensors are not those that were written"):
        read_inception(path)
    os.truncate(path, 10_000)
    with pytest.raises(ValueError, match=f"{path} cannot be used for FID: as safetensors it is tr"):
        read_inception(path)


def test_another_file_is_refused(folder):
    path = write(folder / "x.pth", state())
    for read in (read_inception, lambda path: convert_inception(path, folder / "y")):
        with pytest.raises(ValueError, match=f"begins with {sha256(path)[:8]}.*with 6726825d"):
            read(path)
    assert not (folder / "y").exists()
    assert read_inception(path, allow_any_hash=True).sha256 == sha256(path)


@pytest.mark.parametrize("length", [0, 1, 100, 10_000, -1])
def test_truncated(folder, length):
    path = write(folder / "x.pth", state())
    os.truncate(path, length if length >= 0 else path.stat().st_size + length)
    with pytest.raises(ValueError, match=f"{path} .*its sha256 begins with .*not arrive whole"):
        read_inception(path)
    with pytest.raises(ValueError, match=f"{path} cannot be used for FID: as a .* is truncated"):
        read_inception(path, allow_any_hash=True)


MISFITS = {
    "missing": ({"fc__bias": None}, r"fc.bias \(1008,\) is missing\.$"),
    "many missing": (
        dict.fromkeys([name.replace(".", "__") for name in SHAPES if "Mixed_5b" in name]),
        r"Mixed_5b.branch5x5_1.conv.weight \(48, 192, 1, 1\) is missing; .*; and 32 more\.$",
    ),
    "unknown": ({"AuxLogits__fc__bias": tensor((10,))}, "'AuxLogits.fc.bias' is not in it"),
    "a count of nothing": (
        {"fc__bn__num_batches_tracked": np.asarray(1)},
        "'fc.bn.num_batches_tracked' is not in it",
    ),
    "torchvision's classes": (
        {"fc__weight": tensor((1000, 2048)), "fc__bias": tensor((1000,))},
        r"fc.weight is \(1000, 2048\) and should be \(1008, 2048\); fc.bias is",
    ),
    "whole numbers": ({"fc__bias": np.ones(1008, np.int64)}, "fc.bias is no array of real numbers"),
    "text": ({"fc__bias": "text"}, "fc.bias is no array of real numbers"),
    "infinity": (
        {"fc__bias": np.full(1008, 1e300)},
        "fc.bias holds NaN or infinity",
    ),
    "a negative variance": (
        {"Conv2d_1a_3x3__bn__running_var": np.full(32, -1e-3, np.float32)},
        "Conv2d_1a_3x3.bn.running_var holds a variance below zero",
    ),
}


@pytest.mark.parametrize(("changes", "message"), MISFITS.values(), ids=MISFITS)
def test_another_network_is_named(folder, changes, message):
    path = write(folder / "x.pth", state(**changes))
    with pytest.raises(ValueError, match=message) as caught:
        read_inception(path, allow_any_hash=True)
    assert str(caught.value).startswith(f"{path} cannot be used for FID: ")


def test_files_without_counts_and_with_other_precisions(folder):
    """Before PyTorch 0.4.1 nothing was counted."""
    content = {name: value for name, value in state().items() if "num_batches" not in name}
    content["fc.bias"] = np.full(1008, 0.5, np.float16)
    params = read_inception(write(folder / "x.pth", content), allow_any_hash=True).params
    assert params["fc"]["bias"].dtype == np.float32 and (params["fc"]["bias"] == 0.5).all()


def test_a_list_is_no_network(folder):
    path = write(folder / "x.pth", [1])
    with pytest.raises(ValueError, match="no dict of tensors"):
        read_inception(path, allow_any_hash=True)


ZEROS = "0" * 64
METADATA = {
    "of nobody": (None, "its sha256 begins with"),
    "of another version": ({"version": "2"}, "it is of version '2', not 1"),
    "other tensors": ({"tensors_sha256": ZEROS}, "its tensors are not those that were written"),
    "no source": ({"source_sha256": "6726825d"}, "its metadata hold no source_sha256"),
    "another source": ({}, "its sha256 begins with 00000000"),
}


@pytest.mark.parametrize(("metadata", "message"), METADATA.values(), ids=METADATA)
def test_metadata_are_checked(tmp_path, metadata, message):
    tensors, described = {"fc.bias": np.ones(3, np.float32)}, b'["fc.bias", "<f4", [3]]'
    whole = {
        "format": inception.FORMAT,
        "version": inception.VERSION,
        "source_sha256": ZEROS,
        "tensors_sha256": hashlib.sha256(described + tensors["fc.bias"].tobytes()).hexdigest(),
    }
    save_file(tensors, tmp_path / "x", None if metadata is None else whole | metadata)
    with pytest.raises(ValueError, match=message):
        read_inception(tmp_path / "x")


class Evil:
    def __init__(self, canary):
        self.canary = canary

    def __reduce__(self):
        return os.system, (f"touch {self.canary}",)


def test_code_does_not_run(tmp_path):
    canary = tmp_path / "canary"
    content = pickle.dumps({"fc.weight": Evil(canary)}, 2)
    magic = weight_files.pickled(0x1950A86A20F9469CFC6C) + weight_files.pickled(1001)
    (tmp_path / "plain").write_bytes(content)
    (tmp_path / "legacy").write_bytes(
        magic + weight_files.pickled({"little_endian": True}) + content
    )
    weight_files.write_entries(tmp_path / "zip", {"data.pkl": content})
    for name in ("plain", "legacy", "zip"):
        for allow, message in (
            (True, rf"asks for '{os.name}.system'.*nothing was"),
            (False, "sha"),
        ):
            with pytest.raises(ValueError, match=message):
                read_inception(tmp_path / name, allow_any_hash=allow)
            assert not canary.exists()
    pickle.loads(content)
    assert canary.exists()  # so there was something to run


def test_what_is_no_file(tmp_path):
    with pytest.raises(ValueError, match="x cannot be read: No such file"):
        read_inception(tmp_path / "x")
    with pytest.raises(ValueError, match="it is not a regular file"):
        read_inception(tmp_path)
    with pytest.raises(ValueError, match="it is not a regular file"):
        read_inception("/dev/zero")
    with open(tmp_path / "long", "wb") as stream:
        stream.truncate(inception.MAX_SIZE + 1)  # takes no room
    with pytest.raises(ValueError, match="it has 1073741825 bytes"):
        read_inception(tmp_path / "long")
