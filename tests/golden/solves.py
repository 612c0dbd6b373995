"""Answers of adaptive solvers: most can be had again digit by digit, some no one can have again.

Where a network makes the flow stiff, rounding alone decides which steps are accepted. Such a file
shows by moving when its start is moved by 1e-7; only the size of the answer and what every count of
evaluations has in common are then compared closely.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from scoresde_jax.types import Array
from tests.golden.golden import relative_error
from tests.golden.item import EXACT, NETWORK, Item

# Seen when the start moves by 1e-7: latents 1.5 %, bits 3e-4, evaluations 2 %, size 1e-3.
ROUGH = {"bpd": 2e-3}
ROUGH_STATE = 0.05
ROUGH_COUNT = 0.05  # and two steps, of solves that take few
ROUGH_SIZE = 5e-3
START = 2  # evaluations of scipy's solvers before their first step, and in each step:
STEP = {"RK45": 6, "RK23": 3, "DOP853": 12}


def compare(item: Item, run: Callable[[Array], Mapping[str, Any]], start: Array) -> None:
    """Compares what a solver makes of a start, {array name: value}, as closely as makes sense."""
    found, moved = run(start), run(start * (1 + 1e-7))
    states = [name for name in found if not name.endswith("nfe")]
    settled = all(relative_error(moved[name], found[name]) < NETWORK for name in states)
    for name in found.keys() & set(item.names):
        kind = name.rpartition("/")[2]
        if kind == "nfe":
            steady = settled and moved[name] == found[name]
            # A step more or less turns on the last digit, which the compiler's options change.
            step = STEP[method(item)] / max(float(item.golden.arrays[name]), 1)
            item.compare(name, found[name], step if steady else ROUGH_COUNT + 2 * step)
            compare_count(item, name)
            continue
        item.compare(name, found[name], NETWORK if settled else ROUGH.get(kind, ROUGH_STATE))
        if not settled and kind not in ROUGH:
            compare_size(item, name, found[name])


def method(item: Item) -> str:
    """The solver, by scipy's name; the files that do not say were made with the original's own."""
    return item.config.get("method", "RK45").split()[0]


def compare_size(item: Item, name: str, found: Array) -> None:
    """Compares how large an array is: its component along the expected one."""
    expected = np.asarray(item.golden.arrays[name], np.float64)
    size = np.vdot(expected, found) / max(np.vdot(expected, expected), 1e-30)
    item.compare(f"{name} size", size * expected, ROUGH_SIZE)


def compare_count(item: Item, name: str) -> None:
    """Compares a count of evaluations with the nearest that whole steps add up to."""
    step = STEP[method(item)]
    steps = np.round((item.golden.arrays[name] - START) / step)
    item.compare(f"{name} of whole steps", START + step * steps, EXACT)
    if "nfe" in item.config:
        item.compare(f"{name} as configured", item.config["nfe"], EXACT)
