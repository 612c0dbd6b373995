"""Long work in pieces that are kept: what was interrupted goes on where it was.

A piece is a range of examples and its columns, a file; the folder says of what work it holds
pieces. Work must give a piece the same columns whenever it is done.
"""

import io
import pathlib
import shutil
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from scoresde_jax import files

Columns = dict[str, np.ndarray]  # (n, ...) each
LABEL = "work.json"


def collect(
    folder: pathlib.Path,
    count: int,
    compute: Callable[[np.ndarray], Columns],
    *,
    size: int,
    work: dict[str, Any],
) -> Columns:
    """The columns of examples 0 to count - 1, piece by piece, those on disk as they are.

    Args:
      folder: of the pieces; pieces of other work in it are deleted. `discard` it when what they
        add up to is written.
      compute: indices (n,) -> their columns.
      size: examples in a piece.
      work: JSON, all that the columns depend on.
    """
    return joined(stream(folder, count, compute, size=size, work=work))


def stream(
    folder: pathlib.Path,
    count: int,
    compute: Callable[[np.ndarray], Columns],
    *,
    size: int,
    work: dict[str, Any],
) -> Iterator[Columns]:
    """The same, a piece at a time. One process at a time may work in a folder."""
    if label(folder) != files.plain(work):
        discard(folder)
        files.write_json(folder / LABEL, work)
    for left in folder.glob(".*.tmp"):  # of a process that was killed while it wrote
        left.unlink()
    for first in range(0, count, size):
        path = folder / f"{first}.npz"
        piece = _read(path)
        if piece is None:
            piece = compute(np.arange(first, min(first + size, count)))
            files.write_npz(path, piece)
        yield piece


def joined(pieces: Iterable[Columns]) -> Columns:
    """The columns of one piece or more as those of one."""
    found = list(pieces)
    return {name: np.concatenate([piece[name] for piece in found]) for name in found[0]}


def label(folder: pathlib.Path) -> Any:
    """The work that a folder holds pieces of; None if it does not say."""
    try:
        return files.read_json(folder / LABEL)
    except FileNotFoundError:
        return None


def kept(folder: pathlib.Path) -> set[int]:
    """The first example of every piece in a folder, whole or not."""
    return {int(path.stem) for path in folder.glob("*.npz") if path.stem.isdecimal()}


def discard(folder: pathlib.Path) -> None:
    """Deletes all pieces."""
    if folder.exists():
        shutil.rmtree(folder)


def _read(path: pathlib.Path) -> Columns | None:
    """A piece; None where there is none that can be read."""
    try:
        content = path.read_bytes()
        with np.load(io.BytesIO(content)) as file:
            piece = dict(file)
    except (OSError, *files.UNREADABLE):
        return None
    # The end of a .zip says how many members it has: damage may have hidden one.
    return piece if len(piece) == int.from_bytes(content[-12:-10], "little") else None
