"""c_score_fn: the label a network is given, what it returns, and the score made of that."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import jax.numpy as jnp

from scoresde_jax.score import make_score_fn
from scoresde_jax.sde import SDE
from scoresde_jax.types import Array, Network, bcast
from tests.golden import networks
from tests.golden.item import EXACT, FORMULA, NETWORK, Item
from tests.golden.original import digits_left, sdes


def check(item: Item) -> None:
    """Compares one file; its outputs are "vp_default/score" and the like, one group per SDE."""
    model = item.related(item.config["model"])
    full = model.config["full"]
    network = partial(networks.compiled(full), model.params())
    x, t = (jnp.asarray(item.given(name)) for name in ("x", "t"))
    for group, settings in item.config["sdes"].items():
        ours, rounded, n = sdes(*settings)
        exact, original = (values(item, full, network, sde, n, x, t) for sde in (ours, rounded))
        for key in exact:
            name = f"{group}/{key}"
            if name in item.names:
                item.compare(name, original[key], tolerance(item, name))
                kept = bcast(digits_left(ours, t), exact[key])
                agreed = jnp.where(kept, exact[key], original[key])
                item.compare(f"{name} ours", agreed, tolerance(item, name))


def values(
    item: Item, full: Mapping[str, Any], network: Network, sde: SDE, n: int, x: Array, t: Array
) -> dict[str, Array]:
    """What the files tell of a network as the score of an SDE, under their names."""
    row = networks.parameterization(full, sde, n, continuous=item.config["continuous"])
    label = row.label(t)
    return {
        "labels_to_network": label,
        "network_output": networks.divided(full, network(row.input(x), label), label),
        "score": make_score_fn(row, network)(x, t),
    }


def tolerance(item: Item, name: str) -> float:
    """For labels, which are counted or worked out, and for what comes out of a network."""
    if not name.endswith("/labels_to_network"):
        return NETWORK
    return EXACT if item.golden.arrays[name].dtype.kind in "iu" else FORMULA
