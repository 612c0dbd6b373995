"""Tells formats apart by their first bytes, and reads what `--mode import` is given."""

import contextlib
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

from scoresde_jax.interop import original, plain, pytorch
from scoresde_jax.interop.weights import Found, Shapes, Weights, complete

Reader = Callable[[pathlib.Path, Shapes], Found]

KNOWN = (
    "a checkpoint of score_sde or score_flow (JAX), a .pth of score_sde_pytorch, or a .safetensors "
    "of --mode export"
)


def read_weights(path: str | pathlib.Path, shapes: Shapes) -> Weights:
    """Reads weights of any known format for a network of these parameters; see `weights`.

    Raises:
      ValueError: the file cannot be read, is of no known format, is damaged, asks to run code, or
        does not fit the network; nothing of it is executed, whatever it holds.
    """
    path = pathlib.Path(path)
    with _about(path):
        return complete(_reader(path)(path, shapes), shapes)


def stored_config(path: str | pathlib.Path) -> dict[str, dict[str, Any]]:
    """The config that came with the weights, by section; only our own exports have one.

    Raises:
      ValueError: as `read_weights`.
    """
    path = pathlib.Path(path)
    with _about(path):
        return plain.read_config(path) if _reader(path) is plain.read else {}


@contextlib.contextmanager
def _about(path: pathlib.Path) -> Iterator[None]:
    """Messages say which file they are about."""
    try:
        yield
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror or error}.") from error
    except ValueError as error:
        raise ValueError(f"{path} cannot be imported: {error}") from error


def _reader(path: pathlib.Path) -> Reader:
    if path.is_dir():
        raise ValueError("it is a folder; name the checkpoint file in it.")
    if path.exists() and not path.is_file():
        raise ValueError("it is not a regular file.")
    with open(path, "rb") as stream:
        head = stream.read(16)
    for recognized, reader in READERS:
        if recognized(head):
            return reader
    raise ValueError(f"its format is unknown; known are {KNOWN}.")


def _is_zip(head: bytes) -> bool:
    return head.startswith(b"PK\3\4")


def _is_pickle(head: bytes) -> bool:
    """Protocol 2 to 5, which is how PyTorch began its files before they were zip files."""
    return len(head) > 1 and head[0] == 0x80 and 2 <= head[1] <= 5


def _is_safetensors(head: bytes) -> bool:
    """The length of a JSON header of less than 4 GB, and the header's first byte."""
    return head[4:9] == b"\0\0\0\0{"


def _is_msgpack(head: bytes) -> bool:
    """A map of 1 to 15 keys, the first of them short text."""
    return len(head) > 1 and 0x81 <= head[0] <= 0x8F and 0xA1 <= head[1] <= 0xBF


READERS: tuple[tuple[Callable[[bytes], bool], Reader], ...] = (
    (_is_safetensors, plain.read),  # first: the length of its header can look like a pickle
    (_is_zip, pytorch.read),
    (_is_pickle, pytorch.read),
    (_is_msgpack, original.read),
)
