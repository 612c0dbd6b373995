"""Each format is known by its first bytes; anything else is named and left alone."""

import os
import pickle

import numpy as np
import pytest
import weight_files

from scoresde_jax import interop

SHAPES = {"B/kernel": (2, 3)}
PADDING = 220  # brings the header of an export of these to about 640 bytes


@pytest.mark.parametrize(
    "content", [b"", b"P", b"text", b"\x00" * 40, b"\x89PNG\r\n", b"\x80\x09x"]
)
def test_an_unknown_format(tmp_path, content):
    (tmp_path / "x").write_bytes(content)
    for read in (lambda path: interop.read_weights(path, SHAPES), interop.stored_config):
        with pytest.raises(
            ValueError, match=f"{tmp_path}/x cannot be imported: its format is unkn"
        ):
            read(tmp_path / "x")


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(ValueError, match="x cannot be read: No such file"):
        interop.read_weights(tmp_path / "x", SHAPES)


def test_a_folder(tmp_path):
    with pytest.raises(ValueError, match="it is a folder; name the checkpoint file in it"):
        interop.read_weights(tmp_path, SHAPES)


def test_what_has_no_end_is_not_read():
    with pytest.raises(ValueError, match="not a regular file"):
        interop.read_weights("/dev/zero", SHAPES)


def test_only_our_own_exports_carry_a_config(tmp_path):
    assert interop.stored_config(weight_files.jax_file("ddpmpp_vp")) == {}
    assert interop.stored_config(weight_files.torch_file("ddpmpp_vp")) == {}


def test_a_header_whose_length_looks_like_a_pickle(tmp_path):
    """0x80 0x02 is how a pickle begins, and a little-endian 640."""
    weights = weight_files.random_weights(SHAPES)
    heads = set()
    for padding in range(0, 64, 8):
        config = {"model": {"name": "x" * (padding + PADDING)}}
        interop.write_weights(tmp_path / "x", weights, config=config)
        heads.add((tmp_path / "x").read_bytes()[:2])
        weight_files.assert_same(interop.read_weights(tmp_path / "x", SHAPES), weights)
        assert interop.stored_config(tmp_path / "x") == config
    assert b"\x80\x02" in heads


class Evil:
    def __init__(self, canary):
        self.canary = canary

    def __reduce__(self):
        return os.system, (f"touch {self.canary}",)


def containers(tmp_path, content):
    """A pickle by itself, as a legacy file's data, and in a zip file."""
    magic = weight_files.pickled(0x1950A86A20F9469CFC6C) + weight_files.pickled(1001)
    machine = weight_files.pickled({"little_endian": True})
    (tmp_path / "plain").write_bytes(content)
    (tmp_path / "legacy").write_bytes(magic + machine + content)
    weight_files.write_entries(tmp_path / "zip", {"data.pkl": content})
    return [tmp_path / name for name in ("plain", "legacy", "zip")]


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_code_in_any_container_does_not_run(tmp_path, protocol):
    canary = tmp_path / "canary"
    content = pickle.dumps({"model": Evil(canary)}, protocol)
    for path in containers(tmp_path, content):
        with pytest.raises(ValueError, match=rf"asks for '{os.name}.system'.*nothing was run"):
            interop.read_weights(path, SHAPES)
        assert not canary.exists()
    pickle.loads(content)
    assert canary.exists()  # so there was something to run


def test_random_bytes(tmp_path):
    """Behind the first bytes of each format, noise."""
    rng = np.random.default_rng(0)
    heads = (b"PK\x03\x04", b"\x80\x02", b"\x82\xa1", b"\x10\0\0\0\0\0\0\0{")
    for head in heads:
        for _ in range(50):
            (tmp_path / "x").write_bytes(head + rng.bytes(rng.integers(0, 200)))
            with pytest.raises(ValueError, match=f"{tmp_path}/x cannot be imported"):
                interop.read_weights(tmp_path / "x", SHAPES)
