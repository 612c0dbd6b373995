"""Our own exports: safetensors, a JSON header and raw arrays, which many programs read.

    params/Dense_0/kernel, ema_params/..., mu/..., nu/...

with the metadata {"format", "version", "step", "count", "config"}, all strings, as safetensors has
it; `config` is the resolved config as JSON. A file may have some of the trees only, and numbers of
fewer bits.
"""

import contextlib
import json
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from scoresde_jax import files
from scoresde_jax.interop.weights import Found, Shapes, Weights, flat

FORMAT, VERSION = "scoresde_jax", "1"
TREES = ("params", "ema_params", "mu", "nu")
AVERAGES = ("ema_params",)


def write_weights(
    path: pathlib.Path,
    weights: Weights,
    *,
    config: dict[str, Any],
    trees: tuple[str, ...] = TREES,
    dtype: Any = np.float32,
) -> None:
    """Writes an export, whole or not at all.

    Args:
      config: the resolved config, JSON.
      trees: which of TREES.
      dtype: float32, or float16, to which numbers are rounded.

    Raises:
      ValueError: a number is too large for the dtype.
    """
    tensors = {
        f"{tree}/{name}": _rounded(leaf, dtype, f"{tree}/{name}")
        for tree in trees
        for name, leaf in flat(getattr(weights, tree)).items()
    }
    metadata = {
        "format": FORMAT,
        "version": VERSION,
        "step": str(weights.step),
        "count": str(weights.count),
        "config": json.dumps(config),
    }
    files.write(path, lambda stream: stream.write(save(tensors, metadata)))


def _rounded(leaf: Any, dtype: Any, name: str) -> np.ndarray:
    with np.errstate(over="ignore"):  # said below
        rounded = np.ascontiguousarray(leaf, dtype)
    if not np.isfinite(rounded).all() and np.isfinite(leaf).all():
        raise ValueError(
            f"{name} holds {np.abs(leaf).max():.3g}, and {np.dtype(dtype)} ends at "
            f"{np.finfo(dtype).max:.3g}; export float32."
        )
    return rounded


def read(path: pathlib.Path, shapes: Shapes) -> Found:
    """Reads an export; names are flax's already, so `shapes` is for other readers.

    Raises:
      ValueError: it is not one, or is damaged.
    """
    del shapes
    with _opened(path) as (metadata, file):
        tensors = {name: file.get_tensor(name) for name in file.keys()}
    trees: dict[str, dict[str, np.ndarray]] = {tree: {} for tree in TREES}
    for name, tensor in tensors.items():
        tree, _, parameter = name.partition("/")
        if tree not in trees:
            raise ValueError(f"it holds {name!r}, which is none of {', '.join(TREES)}.")
        trees[tree][parameter] = tensor
    step, count = _number(metadata, "step"), _number(metadata, "count")
    kinds = {str(tensor.dtype) for tensor in tensors.values()} - {"float32"}
    origin = ", ".join(["an export of scoresde_jax", *sorted(kinds)])
    return Found(origin, step=step, count=count, **trees)


def read_config(path: pathlib.Path) -> dict[str, dict[str, Any]]:
    """The config an export was made with, by section.

    Raises:
      ValueError: it is no export, or is damaged.
    """
    with _opened(path) as (metadata, _):
        pass  # the arrays are not needed
    try:
        config = json.loads(metadata.get("config", ""))
    except (ValueError, RecursionError):
        config = None
    if not isinstance(config, dict) or not all(isinstance(v, dict) for v in config.values()):
        raise ValueError("its metadata hold no config.")
    return config


@contextlib.contextmanager
def _opened(path: pathlib.Path) -> Iterator[tuple[dict[str, str], Any]]:
    """Metadata, and the file to take arrays from; safetensors checks lengths and offsets."""
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != FORMAT or metadata.get("version") != VERSION:
                raise ValueError(
                    "it is a safetensors file, but not an export of scoresde_jax, version "
                    f"{VERSION}, by its metadata."
                )
            yield metadata, file
    # TypeError and AttributeError: a type unlike numpy's.
    except (SafetensorError, TypeError, AttributeError) as error:
        raise ValueError(f"as safetensors it is truncated or damaged ({error}).") from error


def _number(metadata: dict[str, str], key: str) -> int:
    text = metadata.get(key, "")
    if not (text.isascii() and text.isdecimal() and len(text) <= 10):
        raise ValueError(f"its metadata hold no {key}.")
    return int(text)
