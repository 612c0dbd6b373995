"""d_losses: the three losses at given times or labels and noise, and their gradients."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
import optax

from scoresde_jax import losses
from scoresde_jax.score import make_score_fn
from scoresde_jax.sde import SDE, VESDE
from scoresde_jax.types import Array
from tests.golden import networks
from tests.golden.item import NETWORK, Item
from tests.golden.original import digits_left, sdes

Loss = Callable[[Any], Array]  # params -> ()

REDUCTIONS = {0: losses.half_sum_over_dims, 1: losses.mean_over_dims}  # by reduce_mean
SWITCHES = ("reduce_mean", "likelihood_weighting")
WEIGHTINGS = {0: losses.variance_weighting, 1: losses.likelihood_weighting}
MEASURES: dict[str, Callable[[Loss, Any], Array]] = {
    "loss": lambda loss, params: loss(params),
    "grad_norm": lambda loss, params: optax.tree.norm(jax.grad(loss)(params)),
}


def check(item: Item) -> None:
    """Compares one file; its outputs are "vp_default/reduce_mean=1/loss" and the like."""
    model = item.related(item.config["model"])
    for case in sorted({name.rpartition("/")[0] for name in item.names if "/" in name}):
        group, *settings = case.split("/")
        # A file has a switch for every group, or one for all.
        switches = {name: int(item.config[name]) for name in SWITCHES if name in item.config}
        pairs = (text.partition("=") for text in settings)
        numbers = switches | {key: int(value) for key, _, value in pairs}
        # A file has an SDE for every group, or one for all.
        choice = item.config["sdes"][group] if "sdes" in item.config else item.config["sde"]
        ours, rounded, n = sdes(*choice)
        # Ours where the original's rounding of 1 - exp left five digits of every std.
        exact = "t" not in item.names or digits_left(ours, jnp.asarray(item.given("t"))).all()
        for sde, remark in ((rounded, ""), *([(ours, " ours")] if exact else [])):
            mean_loss, draws = loss_of_params(item, model, sde, n, numbers)
            with mock.patch.multiple(jax.random, **draws):
                for key, measure in MEASURES.items():
                    if f"{case}/{key}" in item.names:
                        found = measure(mean_loss, model.params())
                        item.compare(f"{case}/{key}{remark}", found, NETWORK)


def loss_of_params(
    item: Item, model: Item, sde: SDE, n: int, numbers: Mapping[str, int]
) -> tuple[Loss, dict[str, Callable]]:
    """The mean loss of the file's batch, and what is to stand for jax.random's functions in it."""
    full = model.config["full"]
    network = networks.compiled(full)
    x0, z = (jnp.asarray(item.given(name)) for name in ("batch", "z"))
    draws = {"normal": lambda key, shape: z}
    if "labels" in item.names:
        continuous, labels = False, jnp.asarray(item.given("labels"))
        is_ve = isinstance(sde, VESDE)
        # The original's SMLD counts from the largest sigma, ours from the smallest.
        position = n - 1 - labels if is_ve else labels
        draws["randint"] = lambda *arguments: position
        loss = partial(losses.smld_loss if is_ve else losses.ddpm_loss, n=n)
    else:
        continuous, t = item.config["continuous"], jnp.asarray(item.given("t"))
        weighting = WEIGHTINGS[numbers["likelihood_weighting"]]
        loss = partial(losses.dsm_loss, t_min=0.0, times=lambda *_: t, weighting=weighting)
    row = networks.parameterization(full, sde, n, continuous=continuous)
    reduction = REDUCTIONS[numbers["reduce_mean"]]

    def mean_loss(params: Any) -> Array:
        score_fn = make_score_fn(row, partial(network, params))
        return jnp.mean(loss(jax.random.key(0), sde, score_fn, x0, reduction=reduction))

    return mean_loss, draws
