"""Long work in pieces that are kept: what was interrupted goes on where it was.

A piece is a range of examples and its columns, a file; the folder says of what work it holds
pieces. Work must give a piece the same columns whenever it is done.
"""

import pathlib
import shutil
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np

from scoresde_jax import files

Columns = dict[str, np.ndarray]  # (n, ...) each


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
    label = folder / "work.json"
    work = files.plain(work)
    if not label.exists() or files.read_json(label) != work:
        discard(folder)
        files.write_json(label, work)
    pieces = []
    for first in range(0, count, size):
        path = folder / f"{first}.npz"
        piece = _read(path)
        if piece is None:
            piece = compute(np.arange(first, min(first + size, count)))
            files.write_npz(path, piece)
        pieces.append(piece)
    return {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}


def discard(folder: pathlib.Path) -> None:
    """Deletes all pieces."""
    if folder.exists():
        shutil.rmtree(folder)


def _read(path: pathlib.Path) -> Columns | None:
    """A piece; None where there is none that can be read."""
    try:
        with np.load(path) as file:
            return dict(file)
    except (OSError, ValueError, zipfile.BadZipFile):
        return None
