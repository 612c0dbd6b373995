"""tiny_models: the random weights that other files of the set name.

Weights are inputs: nothing computed them. What can be compared is that our network has places for
just these, and that a "smooth" model is its plain one, with the last module scaled down.
"""

import re
from pathlib import Path

import numpy as np

from tests.golden import golden, networks
from tests.golden.item import EXACT, Comparison, Item

SCALED = re.compile(r"_smooth: .* multiplied by ([0-9.e+-]+)")  # in the notes


def check(item: Item) -> None:
    """Compares one file."""
    full = item.config["full"]
    section = full["data"]
    size = section["image_size"]
    shape = (size, size, section["num_channels"])
    ours = networks.shapes(networks.network(full), shape)
    if ours != item.golden.shapes:
        differing = sorted(set(ours.items()) ^ set(item.golden.shapes.items()))
        raise ValueError(f"parameters differ from our network's: {differing[:4]}")
    item.params()  # inputs
    item.comparisons.append(Comparison(f"names and shapes of {len(ours)} parameters", 0, 0, EXACT))
    plain = item.path.with_name(item.path.name.removesuffix("_smooth"))
    if plain != item.path and plain.with_suffix(".json").exists():
        item.compare("params_flat", smoothed(item, plain), EXACT)


def smoothed(item: Item, plain: Path) -> np.ndarray:
    """The weights of the plain model, those of its last module times the factor of the notes."""
    found = SCALED.search(" ".join(item.golden.meta.get("notes", [])))
    if found is None:
        raise ValueError("its notes do not say what the last module was multiplied by")
    factor = float(found[1])
    weights = golden.read(plain).arrays["params_flat"].copy()
    table = item.golden.meta["param_table"]
    last = table[-1][0].partition("/")[0]
    count = sum(int(np.prod(shape)) for path, shape in table if path.startswith(f"{last}/"))
    weights[-count:] *= np.float32(factor)
    return weights
