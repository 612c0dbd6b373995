"""TFRecord files, read without TensorFlow: lengths checked at once, contents when they are read.

A record is its length (8 bytes), the length's masked CRC-32C (4), the data, the data's masked
CRC-32C (4), all little-endian (tensorflow/core/lib/io/record_writer.h).
"""

import os
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scoresde_jax.data.crc32c import crc32c, masked
from scoresde_jax.data.pictures import CorruptImage
from scoresde_jax.data.stores import MAX_BYTES, named_record

HEAD, TAIL = 12, 4


@dataclass(frozen=True)
class TFRecords:
    """Records of TFRecord files, one file after the other.  Build it with `tfrecords`."""

    paths: tuple[Path, ...]
    ends: np.ndarray  # (files,) number of records up to the end of each file
    offsets: np.ndarray  # (records,) of the data in its file
    lengths: np.ndarray  # (records,) of the data

    def read(self, place: int) -> bytes:
        """The data of a record; raises CorruptImage if they do not match their checksum."""
        length = int(self.lengths[place])
        file = int(np.searchsorted(self.ends, place, side="right"))
        with open(self.paths[file], "rb") as stream:
            stream.seek(int(self.offsets[place]))
            stored = stream.read(length + TAIL)
        data = memoryview(stored)[:length]
        if len(stored) < length + TAIL or _mismatch(data, stored[length:]):
            raise CorruptImage("its data do not match their checksum")
        return bytes(data)

    def name(self, place: int) -> str:
        """Its file and number there."""
        return named_record(self.paths, self.ends, place)

    def __len__(self) -> int:
        return len(self.offsets)


def tfrecords(paths: tuple[Path, ...]) -> TFRecords:
    """Finds every record, reading only lengths: once, about 10 s for a million.

    Raises:
      ValueError: a file is no TFRecord file, is cut off, or has a damaged length.
    """
    indices = [_index(path) for path in paths]
    ends = np.cumsum([len(index) for index in indices])
    offsets, lengths = np.concatenate(indices).T
    return TFRecords(paths, ends, offsets.copy(), lengths.copy())


def _index(path: Path) -> np.ndarray:
    """Offset and length of the data of every record of a file; (N, 2) int64."""
    found, place, size = [], 0, os.path.getsize(path)
    with open(path, "rb", buffering=0) as stream:
        while place < size:
            stream.seek(place)
            head = stream.read(HEAD)
            where = f"{path}, record {len(found)} at byte {place}"
            if head[:2] == b"\x1f\x8b" and not found:
                raise ValueError(f"{path} is compressed by gzip; unpack it first.")
            if len(head) < HEAD:
                raise ValueError(f"{where}: the file is cut off; copy it again.")
            if _mismatch(head[:8], head[8:]):
                raise ValueError(
                    f"{where}: the length does not match its checksum; this is no TFRecord file, "
                    "or it is damaged."
                )
            length = struct.unpack("<Q", head[:8])[0]
            if length > MAX_BYTES:
                raise ValueError(f"{where} has {length} bytes; at most {MAX_BYTES} are read.")
            if place + HEAD + length + TAIL > size:
                raise ValueError(f"{where}: the file is cut off; copy it again.")
            found.append((place + HEAD, length))
            place += HEAD + length + TAIL
    if not found:
        raise ValueError(f"{path} is empty.")
    return np.array(found, np.int64)


def _mismatch(data: bytes | memoryview, stored: bytes) -> bool:
    return masked(crc32c(data)) != struct.unpack("<I", stored)[0]
