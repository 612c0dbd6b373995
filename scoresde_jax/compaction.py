"""Batches that stay full: an example that is done leaves, and another takes its place.

An adaptive solve costs every example its own number of evaluations, and a batch costs all of its
rows until the slowest is done. Here a batch is carried on in bounded segments, on the device;
between two of them the host takes out what is done and puts in what waits. When nothing waits any
more, the rest is moved to smaller batches, from a short ladder of sizes, as one size is one
compilation.

What is done when depends on counts only, never on clocks: a run done again does the same.

Not here: what is carried on (`ode.py`), and on which devices (`programs.py`).
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np

PyTree = Any  # of arrays, examples along the first axis


class Segment(NamedTuple):
    """What a segment leaves behind."""

    rows: PyTree  # where every example of the batch stands
    running: Any  # (B,) bool, the examples that have to go on
    outcome: PyTree  # what to keep of those that have not
    turns: Any  # () int, evaluations of the batch


class Finished(NamedTuple):
    """Some examples that are done."""

    positions: np.ndarray  # (n,) int
    outcome: PyTree  # (n, ...) arrays
    rows: int  # rows of batches computed since the last such report, padding included


Begin = Callable[[np.ndarray], PyTree]  # positions (n,) -> their rows at the start; n never changes
# (rows, live (B,) bool, fewest): until only so many of the live rows run, or for some turns
Advance = Callable[[PyTree, np.ndarray, int], Segment]


def ladder(largest: int, *, multiple_of: int = 1, smallest: int = 4) -> tuple[int, ...]:
    """Batch sizes, each about half of the one before, all multiples of a number of devices."""
    sizes = [largest]
    while (half := -(-sizes[-1] // (2 * multiple_of)) * multiple_of) >= smallest:
        if half == sizes[-1]:
            break
        sizes.append(half)
    return tuple(sizes)


def complete(
    count: int, *, sizes: tuple[int, ...], begin: Begin, advance: Advance, patience: int = 16
) -> Iterator[Finished]:
    """Carries examples 0 to count - 1 to their end, and yields them as they get there.

    Args:
      sizes: of the batches, falling; the first is used until nothing waits.
      begin: makes rows, an eighth of a batch at a time.
      advance: one segment; rows that are not live are padding and cost nothing but their room.
      patience: a smaller batch is compiled when a batch has had this many rows in vain for each
        row it has.
    """
    block = max(d for d in range(1, max(sizes[0] // 8, 1) + 1) if sizes[0] % d == 0)
    size = _fitting(sizes, count)
    rows, held, waiting = None, np.full(size, -1), 0
    wasted = unreported = 0
    while True:
        free = np.flatnonzero(held < 0)
        while waiting < count and len(free) >= min(block, size):
            new = np.arange(waiting, min(waiting + block, count))[: len(free)]
            padded = np.concatenate([new, np.repeat(new[-1:], block - len(new))])
            made = jax.device_get(begin(padded))
            rows = _empty(made, size) if rows is None else _on_host(rows)
            _put(rows, free[: len(new)], made)
            held[free[: len(new)]] = new
            waiting, free = waiting + len(new), free[len(new) :]
        fewest = size - block if waiting < count else 0
        segment = advance(rows, held >= 0, fewest)
        rows, turns = segment.rows, int(segment.turns)
        unreported += turns * size
        done = (held >= 0) & ~np.asarray(segment.running)
        if done.any():
            yield Finished(held[done], _take(jax.device_get(segment.outcome), done), unreported)
            unreported = 0
            held[done] = -1
        running = np.flatnonzero(held >= 0)
        if waiting == count:
            if not running.size:
                return
            wasted += turns * (size - running.size)
            smaller = _fitting(sizes, running.size)
            if smaller < size and wasted >= patience * size:
                kept = np.concatenate([running, np.flatnonzero(held < 0)])[:smaller]
                rows = _take(_on_host(rows), kept)
                held, size, wasted = held[kept], smaller, 0


def in_order(parts: Iterable[Finished]) -> dict[str, np.ndarray]:
    """The columns of all examples by position; for outcomes that are dicts of arrays."""
    parts = list(parts)
    order = np.argsort(np.concatenate([part.positions for part in parts]))
    return {
        name: np.concatenate([part.outcome[name] for part in parts])[order]
        for name in parts[0].outcome
    }


def _fitting(sizes: tuple[int, ...], count: int) -> int:
    """The smallest batch that holds so many, or else the largest."""
    return min((size for size in sizes if size >= count), default=sizes[0])


def _empty(rows: PyTree, size: int) -> PyTree:
    """Copies of the first row, to be filled."""
    return jax.tree.map(lambda leaf: np.repeat(leaf[:1], size, axis=0), rows)


def _take(tree: PyTree, which: np.ndarray) -> PyTree:
    return jax.tree.map(lambda leaf: leaf[which], tree)


def _on_host(rows: PyTree) -> PyTree:
    """Arrays that can be written to."""
    return jax.tree.map(np.array, jax.device_get(rows))


def _put(rows: PyTree, where: np.ndarray, made: PyTree) -> None:
    """Writes the first rows of `made` to the places in `where`."""
    for leaf, new in zip(jax.tree.leaves(rows), jax.tree.leaves(made), strict=True):
        leaf[where] = new[: len(where)]
