"""Where encoded images are kept: files, members of a zip, array_record files, rows of an array.

Each store can be sent to another process and read from several threads; files are opened where
and when they are read. Nothing is extracted, and nothing that a file contains is executed.
"""

import os
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scoresde_jax.data.pictures import CorruptImage

MAX_BYTES = 2**29  # of one encoded image; an uncompressed picture of MAX_PIXELS in RGBA has half


@dataclass(frozen=True)
class Files:
    """Files of a folder."""

    root: Path
    names: tuple[str, ...]  # relative to root, with slashes

    def read(self, place: int) -> bytes:
        """The content of a file; raises CorruptImage if it cannot be had, as of a dangling link."""
        path = self.root / self.names[place]
        try:
            if (size := path.stat().st_size) > MAX_BYTES:
                raise CorruptImage(f"it has {size} bytes; at most {MAX_BYTES} are read")
            return path.read_bytes()
        except OSError as error:
            raise CorruptImage(f"it cannot be read ({error.strerror or error})") from error

    def name(self, place: int) -> str:
        """Its path."""
        return str(self.root / self.names[place])

    def __len__(self) -> int:
        return len(self.names)


class Zipped:
    """Members of a zip file, which stays packed."""

    def __init__(self, path: Path, names: tuple[str, ...]):
        self.path, self.names = path, names
        self._archive: zipfile.ZipFile | None = None

    def read(self, place: int) -> bytes:
        """The unpacked content of a member; raises CorruptImage if it is damaged or a bomb."""
        if self._archive is None:
            self._archive = open_zip(self.path)
        member = self._archive.getinfo(self.names[place])
        if member.file_size > MAX_BYTES:
            raise CorruptImage(f"it unpacks to {member.file_size} bytes; at most {MAX_BYTES} are")
        try:
            return self._archive.read(member)
        except RuntimeError as error:  # also NotImplementedError: a compression without a module
            raise CorruptImage(f"it cannot be unpacked ({error})") from error
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
            raise CorruptImage(f"its packed data are damaged ({error})") from error

    def name(self, place: int) -> str:
        """The path of the zip and the name in it."""
        return f"{self.path}/{self.names[place]}"

    def __len__(self) -> int:
        return len(self.names)

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "names": self.names, "_archive": None}


def open_zip(path: Path) -> zipfile.ZipFile:
    """Opens a zip file.

    Raises:
      ValueError: it is none, or is damaged.
    """
    try:
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, EOFError) as error:
        raise ValueError(f"{path} is no zip file, or is damaged: {error}.") from error


class ArrayRecords:
    """Records of array_record files, one file after the other."""

    def __init__(self, paths: tuple[Path, ...]):
        from array_record.python.array_record_data_source import ArrayRecordDataSource

        counts = []
        for path in paths:
            try:
                counts.append(len(ArrayRecordDataSource([str(path)])))
            except (RuntimeError, ValueError) as error:
                raise ValueError(
                    f"{path} is no array_record file, or is damaged: {str(error) or 'unreadable'}."
                ) from error
        self.paths, self.ends = paths, np.cumsum(counts)
        self._records = ArrayRecordDataSource([str(path) for path in paths])  # opens files itself

    def read(self, place: int) -> bytes:
        """A record; raises CorruptImage if it is damaged."""
        try:
            return self._records[place]
        except (RuntimeError, ValueError, IndexError) as error:
            raise CorruptImage(f"its record is damaged ({error})") from error

    def name(self, place: int) -> str:
        """Its file and number there."""
        return named_record(self.paths, self.ends, place)

    def __len__(self) -> int:
        return int(self.ends[-1])


@dataclass(frozen=True)
class Rows:
    """Rows of a .npy file that need not fit into RAM."""

    path: Path

    def read(self, place: int) -> np.ndarray:
        """One row, a copy."""
        return np.array(np.load(self.path, mmap_mode="r", allow_pickle=False)[place])

    def name(self, place: int) -> str:
        """The file and the row."""
        return f"row {place} of {self.path}"

    def __len__(self) -> int:
        return len(np.load(self.path, mmap_mode="r", allow_pickle=False))


def named_record(paths: tuple[Path, ...], ends: np.ndarray, place: int) -> str:
    """The file and the number in it of a record of several files that end at `ends`."""
    file = int(np.searchsorted(ends, place, side="right"))
    return f"record {place - (int(ends[file - 1]) if file else 0)} of {paths[file]}"


def expanded(path: str | os.PathLike, ending: str) -> tuple[Path, ...]:
    """Returns the files that a path means: a file, all of a folder with this ending, or a pattern.

    Args:
      ending: as ".tfrecord"; it may also stand inside the name, as in x.tfrecord-00000-of-00002.

    Raises:
      ValueError: there is none.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        found = [file for file in path.glob(f"*{ending}*") if file.is_file()]
    elif path.is_file():
        found = [path]
    else:
        base = Path(path.anchor) if path.is_absolute() else Path()
        pattern = str(path.relative_to(path.anchor)) if path.is_absolute() else str(path)
        found = [file for file in base.glob(pattern) if file.is_file()]
    if not found:
        raise ValueError(
            f"{path} is no file, no folder with *{ending}* files in it, and no pattern that "
            "matches any; give one of them, as data/train-*.tfrecords."
        )
    return tuple(sorted(found))
