"""Reads golden files: arrays computed by the 2021 code, next to a JSON that says how.

`NAME.npz` holds inputs, outputs and the parameters, concatenated in creation order; `NAME.json`
the settings and the table of parameter paths and shapes.  GroupNorm's parameters are (1, 1, 1, C)
on the original's disk and (C,) in flax today; they are handed out as (C,).
"""

import json
import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from scoresde_jax.interop.weights import nested

HERE = Path(__file__).parent


class Golden(NamedTuple):
    """One golden file."""

    meta: dict[str, Any]
    arrays: dict[str, np.ndarray]
    params: dict[str, Any]  # nested, as flax takes it
    shapes: dict[str, tuple[int, ...]]  # "ResnetBlockDDPM_0/Conv_0/kernel" -> shape


def names(folder: str, prefix: str = "") -> list[str]:
    """The golden files of a folder, as `load` takes them."""
    return sorted(f"{folder}/{path.stem}" for path in (HERE / folder).glob(f"{prefix}*.json"))


def load(name: str) -> Golden:
    """Reads `name`, a path below this folder without its ending."""
    return read(HERE / name)


def read(path: Path) -> Golden:
    """Reads `path`, without its ending."""
    meta = json.loads(path.with_name(path.name + ".json").read_text())
    with np.load(path.with_name(path.name + ".npz")) as file:
        arrays = dict(file)
    stored = {n.removeprefix("param:"): v for n, v in arrays.items() if n.startswith("param:")}
    start = 0
    for name, shape in meta.get("param_table", []) if "params_flat" in arrays else []:
        stop = start + math.prod(shape)
        stored[name] = arrays["params_flat"][start:stop].reshape(shape)
        start = stop
    flat = {name: today(name, array) for name, array in stored.items()}
    return Golden(meta, arrays, nested(flat), {name: array.shape for name, array in flat.items()})


def today(name: str, array: np.ndarray) -> np.ndarray:
    """A parameter of the original in the shape that flax gives it today."""
    return array.reshape(array.shape[-1:]) if "GroupNorm_" in name else array


def relative_error(found, expected) -> float:
    """The largest difference over the largest expected magnitude."""
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape, f"shape {found.shape}, expected {expected.shape}"
    return float(np.abs(found - expected).max() / np.abs(expected).max())
