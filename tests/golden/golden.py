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
    meta = json.loads((HERE / f"{name}.json").read_text())
    with np.load(HERE / f"{name}.npz") as file:
        arrays = dict(file)
    params: dict[str, Any] = {}
    shapes = {}
    start = 0
    for path, stored in meta.get("param_table", []):
        shape = (stored[-1],) if "GroupNorm_" in path else tuple(stored)
        stop = start + math.prod(stored)
        *modules, leaf = path.split("/")
        branch = params
        for module in modules:
            branch = branch.setdefault(module, {})
        branch[leaf] = arrays["params_flat"][start:stop].reshape(shape)
        shapes[path] = shape
        start = stop
    return Golden(meta, arrays, params, shapes)


def relative_error(found, expected) -> float:
    """The largest difference over the largest expected magnitude."""
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape, f"shape {found.shape}, expected {expected.shape}"
    return float(np.abs(found - expected).max() / np.abs(expected).max())
