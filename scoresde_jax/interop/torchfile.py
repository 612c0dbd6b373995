"""What `torch.save` writes, read without PyTorch: a pickle of tensors, and their storages.

zip     (since 1.6) entries NAME/data.pkl, NAME/data/KEY, NAME/byteorder, not compressed
legacy  (before)    pickles of a magic number, a version, the machine, the data and a list of keys;
                    then for each key an int64 count and that many elements

A tensor is a view of a storage: an offset, a shape and strides, in elements. Every size that a
file claims is held against what is there before anything is allocated for it.
"""

import io
import math
import pathlib
import zipfile
from dataclasses import dataclass
from typing import Any, BinaryIO, NamedTuple

import jax.numpy as jnp
import numpy as np

from scoresde_jax.interop import pickles
from scoresde_jax.interop.weights import named

MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
MAX_PICKLE = 2 << 20  # bytes; the largest network of 2021 needs half a megabyte
MAX_DIMS = 8
MAX_SIZE = 1 << 40  # of one dimension; beyond any file, and arithmetic below it is quick

# What zipfile raises; RuntimeError stands for a password.
DAMAGED_ZIP = (
    zipfile.BadZipFile,
    EOFError,
    KeyError,
    NotImplementedError,
    RuntimeError,
    UnicodeDecodeError,
)

DTYPES = {
    "Float": np.dtype("<f4"),
    "Double": np.dtype("<f8"),
    "Half": np.dtype("<f2"),
    "BFloat16": np.dtype(jnp.bfloat16),
    "Long": np.dtype("<i8"),
    "Int": np.dtype("<i4"),
    "Short": np.dtype("<i2"),
    "Char": np.dtype("i1"),
    "Byte": np.dtype("u1"),
    "Bool": np.dtype("?"),
}


@dataclass
class Storage:
    """A stretch of memory that tensors share; its bytes come after the pickle that names it."""

    dtype: np.dtype
    count: int
    content: np.ndarray | None = None  # (count,)

    def fill(self, content: bytes) -> None:
        """Takes the bytes, which must be as many as the pickle said."""
        if len(content) != self.count * self.dtype.itemsize:
            raise ValueError(
                f"a storage of {self.count} {self.dtype} is {len(content)} bytes long."
            )
        self.content = np.frombuffer(content, self.dtype)


class Tensor(NamedTuple):
    """A tensor as the pickle describes it."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]

    def array(self) -> np.ndarray:
        """The tensor as a read-only view of its storage."""
        content = self.storage.content
        assert content is not None, "storages are filled once the pickle is read"
        step = content.itemsize
        return np.lib.stride_tricks.as_strided(
            content[self.offset :], self.shape, [s * step for s in self.stride], writeable=False
        )


def load(path: pathlib.Path) -> Any:
    """Reads a file of either format: dicts, lists and numbers, with `Tensor`s in them.

    Raises:
      ValueError: it is damaged, or holds more than data.
    """
    with open(path, "rb") as stream:
        if stream.read(1) == b"P":
            return _load_zip(path)
        stream.seek(0)
        return _load_legacy(stream, path.stat().st_size)


def _load_zip(path: pathlib.Path) -> Any:
    try:
        with zipfile.ZipFile(path) as archive:
            return _load_archive(archive, path.stat().st_size)
    except DAMAGED_ZIP as error:
        raise ValueError(f"as a zip file it is truncated or damaged ({error}).") from error


def _load_archive(archive: zipfile.ZipFile, size: int) -> Any:
    entries = archive.infolist()
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise ValueError("its zip entries are compressed, which torch.save never does.")
    if sum(max(entry.file_size, entry.compress_size) for entry in entries) > size:
        raise ValueError("its zip entries claim more bytes than the file has.")
    roots = [
        e.filename.removesuffix("data.pkl") for e in entries if e.filename.endswith("data.pkl")
    ]
    if len(roots) != 1:
        raise ValueError("it is a zip file, but not one that torch.save wrote: no data.pkl.")
    names = set(archive.namelist())
    order = archive.read(f"{roots[0]}byteorder") if f"{roots[0]}byteorder" in names else b"little"
    _check_byte_order(order == b"little")
    if archive.getinfo(f"{roots[0]}data.pkl").file_size > MAX_PICKLE:
        raise ValueError(
            f"its pickle is longer than {MAX_PICKLE >> 20} MiB; no network needs that."
        )
    storages: dict[str, Storage] = {}
    content = _unpickle(io.BytesIO(archive.read(f"{roots[0]}data.pkl")), storages)
    for key, storage in storages.items():
        storage.fill(archive.read(f"{roots[0]}data/{key}"))
    return content


def _load_legacy(stream: BinaryIO, size: int) -> Any:
    program = io.BytesIO(stream.read(MAX_PICKLE))
    storages: dict[str, Storage] = {}
    if (_plain(program), _plain(program)) != (MAGIC, PROTOCOL):
        raise ValueError("it is a pickle, but not one that torch.save wrote.")
    machine = _plain(program)
    _check_byte_order(isinstance(machine, dict) and machine.get("little_endian") is True)
    content = _unpickle(program, storages)
    keys = _plain(program)
    is_list = isinstance(keys, list) and all(isinstance(key, str) for key in keys)
    if not is_list or sorted(keys) != sorted(storages):
        raise ValueError("its list of storages is not that of its tensors.")
    stream.seek(program.tell())
    for key in keys:
        storage = storages[key]
        count = int.from_bytes(stream.read(8), "little")
        wanted = storage.count * storage.dtype.itemsize
        if count != storage.count or wanted > size - stream.tell():
            raise ValueError("a storage is longer than what is left of the file: it is truncated.")
        storage.fill(stream.read(wanted))
    return content


def _check_byte_order(little: bool) -> None:
    if not little:
        raise ValueError("it was written by a big-endian machine, which is not supported.")


def _plain(stream: BinaryIO) -> Any:
    """A pickle of numbers and text only."""
    return pickles.load(stream, {}, _no_persistent)


def _no_persistent(name: Any) -> Any:
    raise ValueError("a storage where none should be")


def _unpickle(stream: BinaryIO, storages: dict[str, Storage]) -> Any:
    """The pickle of the data; notes the storages that it names, to be filled."""

    def storage_of(name: Any) -> Storage:
        # legacy files have a sixth entry: None, or how to view another storage, long out of use.
        if not isinstance(name, tuple) or len(name) not in (5, 6) or name[5:] not in ((), (None,)):
            raise ValueError("a persistent id that is no storage")
        kind, dtype, key, _, count = name[:5]
        if kind != "storage" or not isinstance(dtype, pickles.Named) or not _is_size(count):
            raise ValueError("a persistent id that is no storage")
        if not isinstance(key, str) or not isinstance(dtype.meaning, np.dtype):
            raise ValueError(f"a storage of {named(dtype.name)}")
        storage = storages.setdefault(key, Storage(dtype.meaning, count))
        if (storage.dtype, storage.count) != (dtype.meaning, count):
            raise ValueError("a storage of two sizes")
        return storage

    return pickles.load(stream, GLOBALS, storage_of)


def _is_size(value: Any) -> bool:
    return type(value) is int and 0 <= value < MAX_SIZE


# --------------------------------------------------------------------------- stand-ins for globals


UNREAD = object()  # what weights have no use for, such as a learning rate as a numpy scalar


def _tensor(storage: Any, offset: Any, shape: Any, stride: Any, *_: Any) -> Tensor:
    """A tensor, if it lies within its storage; what follows is of gradients."""
    shape, stride = _size(shape), _size(stride)
    if not isinstance(storage, Storage) or not all(map(_is_size, (offset, *shape, *stride))):
        raise ValueError("a tensor without a storage or a shape")
    if len(shape) != len(stride):
        raise ValueError("a tensor whose strides are not those of its shape")
    last = offset + sum((n - 1) * step for n, step in zip(shape, stride, strict=True))
    if not 0 < math.prod(shape) <= storage.count or last >= storage.count:
        raise ValueError(f"a tensor of shape {shape} that its {storage.count} elements do not fill")
    return Tensor(storage, offset, tuple(shape), tuple(stride))


def _parameter(tensor: Any, *_: Any) -> Any:
    return tensor


def _unread(*_: Any) -> object:
    return UNREAD


def _mapping(*pairs: Any) -> dict:
    """An OrderedDict; PyTorch fills it afterwards."""
    if pairs:
        raise ValueError("a dict that is made with its contents")
    return {}


def _size(sizes: Any) -> tuple:
    """A torch.Size; its length is looked at before it is copied."""
    if not isinstance(sizes, list | tuple) or len(sizes) > MAX_DIMS:
        raise ValueError(f"a shape that is not of at most {MAX_DIMS} numbers")
    return tuple(sizes)


# All that a checkpoint may name.
GLOBALS: dict[str, Any] = {
    "collections.OrderedDict": _mapping,
    "torch.Size": _size,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "torch.device": _unread,
    # A learning rate is a numpy scalar: scalar(dtype("f8", ...), encode("...", "latin1")).
    "numpy.core.multiarray.scalar": _unread,
    "numpy._core.multiarray.scalar": _unread,
    "numpy.dtype": _unread,
    "_codecs.encode": _unread,
} | {f"torch.{name}Storage": dtype for name, dtype in DTYPES.items()}
