"""k_checkpoints: files of weights that the original's JAX code and its PyTorch port wrote.

A file NAME.json has a folder NAME beside it, with any number of checkpoints of the same weights.
"""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import serialization

from scoresde_jax.interop import Weights, original, parameter_shapes, read_weights
from tests.golden import networks
from tests.golden.item import EXACT, NETWORK, Item


def check(item: Item) -> None:
    """Compares what the network of each checkpoint gives, and the numbers beside the weights."""
    full = item.config["full"]
    x, label = jnp.asarray(item.given("x")), jnp.asarray(item.given("cond"))
    shapes = parameters(item, x)
    paths = list(checkpoints(item.path))
    if not paths:
        raise ValueError(f"{item.path} has no checkpoints")
    if "rng" in item.names:
        item.given("rng")  # beside a PyTorch file there is nothing to compare it with
    for path in paths:
        weights, remark = read_weights(path, shapes), path.relative_to(item.path).as_posix()
        for name, value in outputs(full, weights, x, label).items():
            if name in item.names:
                item.compare(f"{name} {remark}", value, NETWORK)
        if "step" in item.names:
            item.compare(f"step {remark}", weights.step, EXACT)
        # The key is of the random numbers of a jax that is gone; our reader leaves it alone.
        if "rng" in item.names and weights.origin == original.ORIGIN:
            state = serialization.msgpack_restore(path.read_bytes())
            item.compare(f"rng {remark}", state["rng"], EXACT)


def checkpoints(folder: Path) -> Iterator[Path]:
    """Every file below a folder, in order."""
    return (path for path in sorted(folder.rglob("*")) if path.is_file())


def parameters(item: Item, x: Any) -> dict[str, tuple[int, ...]]:
    """Our parameters in the order in which they are created, which tells those of PyTorch apart.

    Raises:
      ValueError: the original's are others, or in another order.
    """
    network = networks.network(item.config["full"])
    shapes = parameter_shapes(lambda key: network.init(key, x, jnp.ones(len(x)))["params"])
    order = item.golden.meta.get("param_order", list(shapes))
    if order != list(shapes):
        other = [pair for pair in itertools.zip_longest(order, shapes) if pair[0] != pair[1]]
        raise ValueError(f"the parameters differ from ours, first in {other[0]}")
    return shapes


def outputs(full: dict[str, Any], weights: Weights, x: Any, label: Any) -> dict[str, np.ndarray]:
    """What the network gives with the averaged and with the last weights."""
    network = networks.compiled(full)

    def output(params: dict[str, Any]) -> np.ndarray:
        seen = x if full["data"]["centered"] else 2 * x - 1
        return np.asarray(networks.divided(full, network(params, seen, label), label))

    return {"out_ema": output(weights.ema_params), "out_params": output(weights.params)}
