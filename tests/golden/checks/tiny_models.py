"""tiny_models: the random weights that other files of the set name.

Weights are inputs: nothing computed them. What can be compared is that our network has places for
just these, and that a "smooth" model is its plain one, with the last module scaled down.
"""

import re
from pathlib import Path

import numpy as np

from tests.golden import golden, networks
from tests.golden.item import EXACT, Item

SCALED = re.compile(r"_smooth: .* multiplied by ([0-9.e+-]+)")  # in the notes


def check(item: Item) -> None:
    """Compares one file."""
    full, table = item.config["full"], item.golden.meta.get("param_table", [])
    section = full["data"]
    size = section["image_size"]
    shape = (size, size, section["num_channels"])
    ours = networks.shapes(networks.network(full), shape)
    if ours != item.golden.shapes:
        differing = sorted(set(ours.items()) ^ set(item.golden.shapes.items()))
        raise ValueError(f"parameters differ from our network's: {differing[:4]}")
    weights = laid_out(item, ours)
    for path, leaf in weights.items():
        if f"param:{path}" in item.names:
            item.compare(
                f"param:{path}", leaf.reshape(item.golden.arrays[f"param:{path}"].shape), EXACT
            )
    if "params_flat" in item.names:
        flat = np.concatenate([weights[path].reshape(-1) for path, _ in table])
        item.compare("params_flat", flat, EXACT)
        plain = item.path.with_name(item.path.name.removesuffix("_smooth"))
        if plain != item.path and plain.with_suffix(".json").exists():
            item.compare("params_flat smooth", smoothed(item, plain), EXACT)


def laid_out(item: Item, shapes: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """The parameters by their paths, in the shapes of our network."""
    found = {}
    for path, shape in shapes.items():
        leaf = item.golden.params
        for key in path.split("/"):
            leaf = leaf[key]
        found[path] = leaf.reshape(shape)
    return found


def smoothed(item: Item, plain: Path) -> np.ndarray:
    """The weights of the plain model, those of its last module times the factor of the notes."""
    factor = float(SCALED.search(" ".join(item.golden.meta["notes"]))[1])
    weights = golden.read(plain).arrays["params_flat"].copy()
    table = item.golden.meta["param_table"]
    last = table[-1][0].partition("/")[0]
    count = sum(int(np.prod(shape)) for path, shape in table if path.startswith(f"{last}/"))
    weights[-count:] *= np.float32(factor)
    return weights
