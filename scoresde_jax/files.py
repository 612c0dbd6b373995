"""Files that are whole or absent: written under a temporary name, then renamed."""

import contextlib
import json
import os
import pathlib
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO

import numpy as np

Path = str | os.PathLike
# What numpy raises for a damaged .npy or .npz, beside OSError.
UNREADABLE = (
    *(ValueError, EOFError, KeyError, TypeError, RuntimeError),
    *(zlib.error, zipfile.BadZipFile, tokenize.TokenError),
)


class NoRoom(OSError):
    """A disk without room; the message says how much is wanted, and what to do."""


def write(path: Path, fill: Callable[[BinaryIO], object]) -> None:
    """Writes a file through `fill`; a crash leaves the old file, or none, never half of one."""
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as stream:
            fill(stream)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()


def write_json(path: Path, value: Any) -> None:
    """Writes strict JSON, indented; NaN and infinity, which JSON lacks, raise ValueError."""
    text = json.dumps(value, indent=2, allow_nan=False) + "\n"
    write(path, lambda stream: stream.write(text.encode()))


def write_npz(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes a compressed .npz."""
    write(path, lambda stream: np.savez_compressed(stream, **arrays))  # pyright: ignore[reportArgumentType]


def read_json(path: Path) -> Any:
    """Reads a JSON file."""
    return json.loads(pathlib.Path(path).read_text())


def plain(value: Any) -> Any:
    """The value as it comes back from JSON: tuples are lists."""
    return json.loads(json.dumps(value))
