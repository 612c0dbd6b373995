"""Work in pieces goes on from the pieces there are, and only from those of the same work."""

import numpy as np
import pytest

from scoresde_jax import shards

WORK = {"step": 3, "kinds": ("a", "b")}


def squares(seen):
    """Computes squares, and notes for which examples."""

    def compute(index):
        seen.append(index.tolist())
        return {"index": index, "square": index**2.0}

    return compute


def collect(folder, seen, work=WORK):
    return shards.collect(folder, 10, squares(seen), size=4, work=work)


def check(columns):
    np.testing.assert_array_equal(columns["index"], np.arange(10))
    np.testing.assert_array_equal(columns["square"], np.arange(10) ** 2.0)


def test_pieces_add_up_and_are_kept(tmp_path):
    seen = []
    check(collect(tmp_path / "pieces", seen))
    assert seen == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    check(collect(tmp_path / "pieces", seen))
    assert len(seen) == 3
    shards.discard(tmp_path / "pieces")
    assert not (tmp_path / "pieces").exists()


def test_an_interruption_costs_one_piece(tmp_path):
    seen = []

    def interrupted(index):
        if index[0] == 4:
            raise KeyboardInterrupt
        return squares(seen)(index)

    with pytest.raises(KeyboardInterrupt):
        shards.collect(tmp_path, 10, interrupted, size=4, work=WORK)
    assert seen == [[0, 1, 2, 3]]
    check(collect(tmp_path, seen))
    assert seen[1:] == [[4, 5, 6, 7], [8, 9]]


def test_pieces_of_other_work_and_broken_ones_are_done_again(tmp_path):
    seen = []
    collect(tmp_path, seen)
    collect(tmp_path, seen, work=WORK | {"step": 4})
    assert len(seen) == 6
    (tmp_path / "4.npz").write_bytes(b"PK broken")
    check(collect(tmp_path, seen, work=WORK | {"step": 4}))
    assert seen[6:] == [[4, 5, 6, 7]]


def test_a_piece_with_any_damage_is_done_again(tmp_path):
    collect(tmp_path, [])
    path = tmp_path / "4.npz"
    whole = path.read_bytes()
    flipped = [whole[:i] + bytes([whole[i] ^ 0xFF]) + whole[i + 1 :] for i in range(len(whole))]
    for damaged in (b"", whole[:-9], whole[:99], *flipped[::5]):
        path.write_bytes(damaged)
        check(collect(tmp_path, []))


def test_a_stream_is_the_same_pieces_one_at_a_time(tmp_path):
    seen = []
    found = shards.stream(tmp_path, 10, squares(seen), size=4, work=WORK)
    assert seen == []
    assert next(found)["index"].tolist() == [0, 1, 2, 3]
    assert seen == [[0, 1, 2, 3]] and shards.kept(tmp_path) == {0}
    assert [len(piece["index"]) for piece in found] == [4, 2]
    assert shards.kept(tmp_path) == {0, 4, 8}
    assert shards.label(tmp_path) == {"step": 3, "kinds": ["a", "b"]}
    assert shards.label(tmp_path / "none") is None


def test_what_a_killed_process_left_is_cleared_away(tmp_path):
    collect(tmp_path, [])
    left = tmp_path / ".4.npz.123.tmp"
    left.write_bytes(b"half")
    check(collect(tmp_path, []))
    assert not left.exists()
