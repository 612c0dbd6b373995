"""Files are whole or absent."""

import math

import numpy as np
import pytest

from scoresde_jax import files


def names(folder):
    return sorted(p.name for p in folder.iterdir())


def test_crash_while_writing_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.bin"
    files.write(path, lambda stream: stream.write(b"old"))

    def crash(stream):
        stream.write(b"half of the new")
        raise RuntimeError("crash")

    with pytest.raises(RuntimeError, match="crash"):
        files.write(path, crash)
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["a.bin"]


def test_crash_while_writing_a_new_file_leaves_none(tmp_path):
    with pytest.raises(ZeroDivisionError):
        files.write(tmp_path / "a.bin", lambda stream: 1 // 0)
    assert names(tmp_path) == []


def test_nothing_is_to_be_seen_before_the_file_is_whole(tmp_path):
    path = tmp_path / "folder" / "a.bin"

    def fill(stream):
        stream.write(b"half")
        assert not path.exists()

    files.write(path, fill)
    assert names(path.parent) == ["a.bin"]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_json_refuses_what_json_lacks(tmp_path, bad):
    with pytest.raises(ValueError, match="JSON"):
        files.write_json(tmp_path / "a.json", {"mean": bad})
    assert names(tmp_path) == []


def test_round_trips(tmp_path):
    value = {"mean": None, "rows": [1, 2.5], "name": "ä"}
    files.write_json(tmp_path / "a.json", value)
    assert files.read_json(tmp_path / "a.json") == value
    assert files.plain({"a": (1, 2)}) == {"a": [1, 2]}
    array = np.arange(5, dtype=np.uint8)
    files.write_npz(tmp_path / "a.npz", {"x": array})
    with np.load(tmp_path / "a.npz") as stored:
        assert stored["x"].dtype == np.uint8
        np.testing.assert_array_equal(stored["x"], array)
