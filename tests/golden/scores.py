"""The scores that the original's ODE solvers and samplers ran on, with whichever SDE's rounding."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from scoresde_jax.score import make_score_fn
from scoresde_jax.sde import SDE
from scoresde_jax.types import Array, bcast
from tests.golden import networks
from tests.golden.item import Item


def of(item: Item, sde: SDE, n: int) -> Any:
    """The score of a file: of the network that it names, or of the Gaussian that it describes.

    A pytree that can be called, so that what is compiled for one file does for others.
    """
    config = item.config
    if "model" not in config:
        return jax.tree_util.Partial(gaussian, sde, config["data_mu"], config["data_std"])
    model = item.related(config["model"])
    network = partial(networks.compiled(model.config["full"]), model.params())
    row = networks.parameterization(model.config["full"], sde, n, continuous=True)
    return jax.tree_util.Partial(make_score_fn(row, network))


def gaussian(sde: SDE, mu: float, std: float, x: Array, t: Array) -> Array:
    """grad_x log p_t(x) of data N(mu, std^2 I)."""
    a, variance = marginal(sde, std, jnp.broadcast_to(t, x.shape[:1]))
    return -(x - bcast(a, x) * mu) / bcast(variance, x)


def marginal(sde: SDE, std: float, t: Array) -> tuple[Array, Array]:
    """Mean coefficient a and variance of x_t for data of this standard deviation; shape of t."""
    a, noise = sde.marginal(jnp.ones_like(t), t)
    return a, a**2 * std**2 + noise**2  # in this order, as the original: nfe tells the last digit
