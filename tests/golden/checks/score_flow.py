"""l_score_flow: the SDEs of score_flow, and times drawn in proportion to g^2 / std^2."""

import re

import jax
import jax.numpy as jnp
import numpy as np

from scoresde_jax.sde import SDE
from scoresde_jax.types import Array
from tests.golden import flow, noise
from tests.golden.item import FORMULA, Item
from tests.golden.original import digits_left, sdes

LINEAR_ERROR = flow.BRANCH / 2  # of log(e^x - 1) where the original takes x for e^x - 1


def check(item: Item) -> None:
    """Compares one file."""
    ours, _, _ = sdes(*item.config["sde"])
    original = flow.linear(ours)
    t = jnp.asarray(item.given("t"))
    one = jnp.ones(t.shape)
    for name, of in {
        "mean_coeff": lambda sde: sde.marginal(one, t)[0],
        "std": lambda sde: sde.marginal(one, t)[1],
        "diffusion": lambda sde: sde.diffusion(t),
    }.items():
        if name in item.names:
            item.compare(name, of(original), FORMULA, each=True)
            agreed = jnp.where(digits_left(ours, t), of(ours), of(original))
            item.compare(f"{name} ours", agreed, FORMULA, each=True)
    for name in item.names:
        kind, _, eps = name.partition("/eps=")
        if kind in ("cum_weight", "Z"):
            compare_weight(
                item, name, ours, t if kind == "cum_weight" else jnp.ones(()), float(eps)
            )
        if kind == "time_for_quantile_uZ":
            compare_times(item, name, ours, float(eps))
        if match := re.fullmatch(r"prior_entropy_(\d+)dim", name):
            item.compare(name, entropy(ours, item.golden.arrays[name].size, int(match[1])), FORMULA)


def compare_weight(item: Item, name: str, sde: SDE, t: Array, t_min: float) -> None:
    """Compares the integral of g^2 / std^2 from t_min to t."""
    item.compare(name, flow.cum_weight(sde, t, t_min), FORMULA)
    linear = 2 * LINEAR_ERROR / float(np.abs(item.golden.arrays[name]).max())
    item.compare(f"{name} ours", integrated(sde, t, t_min), FORMULA + linear)


def integrated(sde: SDE, t: Array, t_min: float) -> np.ndarray:
    """The integral of g^2 / std^2 of our SDE from t_min to each t, by quadrature in log t."""
    nodes, weights = np.polynomial.legendre.leggauss(64)
    ends = np.log(np.asarray(t, np.float64))[..., None], np.log(t_min)
    times = np.exp(ends[1] + (ends[0] - ends[1]) * (nodes + 1) / 2)
    flat = jnp.asarray(times.reshape(-1), jnp.float32)
    _, std = sde.marginal(jnp.ones(flat.shape), flat)
    density = np.asarray(sde.diffusion(flat) / std, np.float64).reshape(times.shape) ** 2
    return (density * times * weights).sum(-1) * (ends[0] - ends[1])[..., 0] / 2


def compare_times(item: Item, name: str, sde: SDE, t_min: float) -> None:
    """Compares the times at which the integral is the fractions u of its whole."""
    u = jnp.asarray(item.given("u"))
    bisected = flow.bisected_time(sde, u * flow.cum_weight(sde, jnp.ones(()), t_min), t_min)
    # The integral is about 20, where float32 numbers are 2e-6 apart, and t goes as its exponential.
    item.compare(name, bisected, 3e-5, each=True)
    # d log t <= d integral: the closed form of ours, and what the original takes for e^x - 1.
    item.compare(f"{name} ours", sde.likelihood_time(u, t_min), 2 * LINEAR_ERROR, each=True)


def entropy(sde: SDE, batch: int, dims: int) -> Array:
    """Entropy of the prior, (B,) nats: -log p where |z|^2 is what it is on average."""
    shape = (batch, dims)
    with noise.given([np.ones(shape, np.float32)]):
        z = sde.prior_sample(jax.random.key(0), shape)
    return -sde.prior_logp(z)
