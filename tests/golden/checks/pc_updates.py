"""e_pc_updates: one predictor or corrector update at a vector of times, with the noise given."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from scoresde_jax import sampling
from scoresde_jax.sde import SDE
from scoresde_jax.types import Update
from tests.golden import noise
from tests.golden.formula import score
from tests.golden.item import FORMULA, Item
from tests.golden.original import chain_rounding, sdes

PREDICTORS = {  # the original's name and probability_flow -> ours
    ("euler_maruyama", 0): sampling.euler_maruyama,
    ("euler_maruyama", 1): sampling.euler,
    ("reverse_diffusion", 0): sampling.reverse_diffusion,
    ("reverse_diffusion", 1): sampling.probability_flow,
    ("ancestral_sampling", 0): sampling.ancestral,
}
CORRECTORS = {"langevin": sampling.langevin, "ald": sampling.annealed_langevin}


def check(item: Item) -> None:
    """Compares one file; its outputs are "t_a/euler_maruyama/pf=0/x" and the like."""
    ours, rounded, n = sdes(*item.config["sde"])
    outputs = [name for name in item.names if name.endswith(("/x", "/x_mean"))]
    updates = sorted({name.rpartition("/")[0] for name in outputs})
    for name in updates:
        update = partial(updated, item, name, n)
        compare(item, name, update(rounded), "", FORMULA)
        compare(item, name, update(ours), " ours", FORMULA + chain_rounding(ours, n))


def updated(item: Item, name: str, n: int, sde: SDE) -> Update:
    """The update that a name like "t_a/langevin/n_steps=2" tells of."""
    times, method, setting = name.split("/")
    key, _, number = setting.partition("=")
    move: Any
    if method == "none":
        draws, move = [], sampling.identity
    elif key == "pf":
        # All predictors of a group were given the same noise, those without use for it too.
        shared = item.given(f"{times}/z_predictor")
        draws, move = [shared][int(number) :], partial(PREDICTORS[method, int(number)], n=n)
    else:
        draws = item.given(f"{name}/z")
        alpha, snr = partial(sde.chain_alpha, n=n), item.config["snr"][method]
        move = partial(CORRECTORS[method], snr=snr, steps=int(number), alpha=alpha)
    x, t = (jnp.asarray(item.given(given)) for given in ("x", times))
    score_fn = score(item.config["score"])
    with noise.given(draws):
        return move(jax.random.key(0), sde, score_fn, x, t)


def compare(item: Item, name: str, update: Update, remark: str, tolerance: float) -> None:
    """Compares what the file holds of an update."""
    for part in ("x", "x_mean"):
        if f"{name}/{part}" in item.names:
            item.compare(f"{name}/{part}{remark}", getattr(update, part), tolerance)
