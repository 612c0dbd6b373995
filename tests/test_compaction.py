"""Every example is carried to its end once, and batches are full."""

import jax.numpy as jnp
import numpy as np
import pytest

from scoresde_jax import compaction

TURNS = 16  # of a segment


class Work:
    """Examples that need so many turns each; notes the sizes of the batches it is given."""

    def __init__(self, need):
        """A need of n is n evaluations."""
        self.need, self.sizes, self.blocks = np.asarray(need), set(), set()

    def begin(self, positions):
        """Rows: what is left to do, and whose row it is."""
        self.blocks.add(len(positions))
        return {"left": jnp.asarray(self.need[positions]), "who": jnp.asarray(positions)}

    def advance(self, rows, live, fewest):
        """As a device would: all rows of a batch at a time."""
        left, turns = np.where(live, np.asarray(rows["left"]), 0), 0
        self.sizes.add(len(left))
        while turns < TURNS and np.sum(left > 0) > fewest:
            left, turns = np.maximum(left - 1, 0), turns + 1
        rows = {"left": np.where(live, left, rows["left"]), "who": rows["who"]}
        return compaction.Segment(rows, left > 0, {"who": rows["who"]}, turns)

    def complete(self, sizes):
        """Positions in the order in which they were done, what came out, and rows computed."""
        done = list(
            compaction.complete(len(self.need), sizes=sizes, begin=self.begin, advance=self.advance)
        )
        positions = np.concatenate([part.positions for part in done])
        who = np.concatenate([part.outcome["who"] for part in done])
        return positions, who, sum(part.rows for part in done)


@pytest.mark.parametrize("count", [1, 2, 7, 63, 64, 65, 200])
@pytest.mark.parametrize("size", [1, 7, 8, 64])
def test_each_example_is_done_once_and_is_itself(count, size):
    work = Work(np.random.default_rng(count).integers(1, 90, count))
    positions, who, rows = work.complete(compaction.ladder(size))
    np.testing.assert_array_equal(np.sort(positions), np.arange(count))
    np.testing.assert_array_equal(who, positions)
    assert rows >= work.need.sum()
    assert work.sizes <= set(compaction.ladder(size)) and len(work.blocks) == 1


@pytest.mark.parametrize("seed", range(5))
def test_rows_computed_are_near_what_the_examples_need(seed):
    """512 examples at batch 64, of which 2 % need 20 times as much."""
    rng = np.random.default_rng(seed)
    need = rng.integers(80, 120, 512)
    need[rng.choice(512, 10, replace=False)] *= 20
    work = Work(need)
    _, _, rows = work.complete(compaction.ladder(64))
    assert rows <= 1.25 * need.sum()
    # Batches one after the other wait for their slowest.
    assert 64 * need.reshape(8, 64).max(1).sum() > 4 * need.sum()


def test_equal_examples_need_one_size_only():
    work = Work(np.full(100, 50))
    _, _, rows = work.complete(compaction.ladder(50))
    assert work.sizes == {50} and rows == 100 * 50


def test_sizes_halve_and_divide_among_devices():
    assert compaction.ladder(64) == (64, 32, 16, 8, 4)
    assert compaction.ladder(100, multiple_of=2) == (100, 50, 26, 14, 8, 4)
    assert compaction.ladder(8, multiple_of=8) == (8,)
    assert compaction.ladder(1) == (1,)
