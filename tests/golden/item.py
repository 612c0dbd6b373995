"""One golden file being checked, and the account of what was compared in it.

A check takes inputs with `given` and hands in what our code computes with `compare`. An array that
neither took is a failure: nothing is passed over in silence.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tests.golden import golden

FORMULA = 1e-5  # float32, a few operations
NETWORK = 1e-4  # float32, tens of layers; 2e-6 is usual
EXACT = 1e-9  # whole numbers, and what is copied


@dataclass
class Comparison:
    """The errors of one array against ours."""

    name: str
    absolute: float  # largest difference
    relative: float  # that over the largest expected value, or the largest ratio, entry by entry
    tolerance: float  # for the relative error
    if_scaled: float = np.inf  # the relative error, had the array been 1.01 times what it is

    @property
    def ok(self) -> bool:
        """Whether the error is within the tolerance; NaN is not."""
        return self.relative <= self.tolerance

    @property
    def notices_scaling(self) -> bool:
        """Whether an array 1.01 times as large would have failed."""
        return self.if_scaled > self.tolerance


@dataclass
class Item:
    """A golden file.

    Attributes:
      path: without its ending.
      kind: which check it belongs to.
      golden: its contents.
      comparisons: what was compared so far.
    """

    path: Path
    kind: str
    golden: golden.Golden
    comparisons: list[Comparison] = field(default_factory=list)
    taken: set[str] = field(default_factory=set)

    @property
    def config(self) -> dict[str, Any]:
        """The settings under which the original ran."""
        return self.golden.meta.get("config", {})

    @property
    def names(self) -> list[str]:
        """Every array of the file."""
        return list(self.golden.arrays)

    def given(self, name: str) -> np.ndarray:
        """An input."""
        self.taken.add(name)
        return self.golden.arrays[name]

    def params(self) -> dict[str, Any]:
        """The parameters of the file's network, as flax takes them."""
        self.taken |= {n for n in self.names if n == "params_flat" or n.startswith("param:")}
        return self.golden.params

    def compare(
        self, name: str, found: Any, tolerance: float, *, each: bool = False, where: Any = True
    ) -> None:
        """Notes how far `found` is from the file's array.

        Args:
          name: of the array, or of the array with a remark after a space: several of our
            functions may be compared with one array.
          tolerance: largest relative error allowed; wider than FORMULA or NETWORK only with a
            reason beside the call.
          each: relative to each entry rather than to the largest; for numbers of many scales.
          where: the entries to look at, True or 1; the largest is the largest of these.
        """
        key = name.split(" ")[0]
        self.taken.add(key)
        expected = np.asarray(self.golden.arrays[key], np.float64)
        found = np.asarray(found, np.float64)
        if found.shape != expected.shape:
            raise ValueError(f"{name}: ours has shape {found.shape}, expected {expected.shape}")
        looked_at = np.broadcast_to(np.asarray(where, bool), expected.shape)
        expected, found = expected[looked_at], found[looked_at]
        absolute = float(np.abs(found - expected).max(initial=0.0))
        relative = relative_error(found, expected, each)
        if_scaled = relative_error(found, 1.01 * expected, each)
        self.comparisons.append(Comparison(name, absolute, relative, tolerance, if_scaled))

    def related(self, name: str) -> "Item":
        """Another file of the set, e.g. "tiny_models/vp_pos": next to this, or of tests/golden."""
        for root in (*self.path.resolve().parents, golden.HERE):
            if (root / f"{name}.json").exists():
                return Item(root / name, name.split("/")[0], golden.read(root / name))
        raise ValueError(f"needs {name}.json, which is in no folder above {self.path}")

    def untaken(self) -> list[str]:
        """Arrays that no check looked at."""
        return sorted(set(self.names) - self.taken)


def relative_error(found: np.ndarray, expected: np.ndarray, each: bool) -> float:
    """The largest difference over the largest expected value, or the largest ratio of entries."""
    scale = np.abs(expected) if each else np.abs(expected).max(initial=0.0)
    # Where zero is expected the absolute error has to be within the tolerance.
    relative = np.abs(found - expected) / np.where(scale == 0, 1.0, scale)
    return float(relative.max(initial=0.0)) if np.isfinite(relative).all() else np.inf


Check = Callable[[Item], None]
