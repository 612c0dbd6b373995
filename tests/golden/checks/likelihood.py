"""f_likelihood: bits per dimension and latents by the probability-flow ODE, with given probes."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from scoresde_jax.likelihood import bits_per_dim, log_likelihood
from scoresde_jax.likelihood.flow import value_and_divergence
from scoresde_jax.sde import SDE, gaussian_logp, ode_drift
from scoresde_jax.types import Array, LogLikelihood
from tests.golden import original, scores, solves
from tests.golden.item import FORMULA, NETWORK, Item
from tests.golden.original import sdes

# How far apart two solvers are, in units of their tolerance. Random networks let early errors grow:
# 2 % at 1e-5, where the original itself is 1 % off after rounding alone (tests/golden/solves.py).
SOLVED = {"gaussian": 50, "network": 5000}
LEVELS = 256


def check(item: Item) -> None:
    """Compares one file: a group of arrays for every set of probes, "Rademacher/centered=1/"."""
    for name in item.names:
        if name.split("/")[-1] == "epsilon":
            group = name.removesuffix("epsilon")
            check_original(item, group)
            check_ours(item, group)
            if "data_std" in item.config:
                check_closed_form(item, group)
    if "t_probe" in item.names:
        check_field(item)


def inputs(item: Item, group: str) -> tuple[Array, Array]:
    """Data and probes, (B, H, W, C) each."""
    return jnp.asarray(item.given("data")), jnp.asarray(item.given(f"{group}epsilon"))


def check_original(item: Item, group: str) -> None:
    """Compares the original's solver around our drift, prior and bits."""
    _, sde, n = sdes(*item.config["sde"])
    score_fn, (x, v) = scores.of(item, sde, n), inputs(item, group)
    options = {key: item.config[key] for key in ("rtol", "atol")}
    options["method"] = solves.method(item)

    @jax.jit  # the SDE's numbers are constants, added up in double precision as in the original
    def field(t: Array, x: Array, integral: Array) -> tuple[Array, Array]:
        del integral
        return original.value_and_divergence(lambda x: ode_drift(sde, score_fn, x, t), x, v)

    def run(x: Array) -> dict[str, Any]:
        start = x, np.zeros(len(x))
        (z, integral), nfe = original.solve(field, start, item.config["eps"], 1.0, **options)
        bpd = bits(item, group, sde.prior_logp(jnp.asarray(z)) + integral)
        return {f"{group}bpd": bpd, f"{group}z": z, f"{group}nfe": nfe}

    solves.compare(item, run, x)


def check_ours(item: Item, group: str) -> None:
    """Compares our `log_likelihood`, also with the closed form where there is one."""
    sde, _, n = sdes(*item.config["sde"])
    score_fn, (x, v) = scores.of(item, sde, n), inputs(item, group)
    options = {key: item.config[key] for key in ("rtol", "atol")}
    likelihood = solve_ours(score_fn, sde, x, v, item.config["eps"], **options)
    bpd = bits(item, group, likelihood.logp)
    found = {"bpd": bpd, "z": likelihood.z}
    found |= {"bpd_ode_closed_form_f64": bpd, "z_closed_form_f64": likelihood.z}
    times = SOLVED["network" if "model" in item.config else "gaussian"]
    for name in found.keys() & names_of(item, group):
        item.compare(f"{group}{name} ours", found[name], times * max(options.values()))


def check_closed_form(item: Item, group: str) -> None:
    """Compares what the flow of Gaussian data, which is linear, gives in float64."""
    sde, _, _ = sdes(*item.config["sde"])
    x, v = inputs(item, group)
    with jax.enable_x64(True):
        found = closed_form(item, group, sde, np.float64(x), np.float64(v))
    for name in found.keys() & names_of(item, group):
        item.compare(group + name, found[name], FORMULA)


def names_of(item: Item, group: str) -> set[str]:
    """The arrays of a group, without its name."""
    return {name.removeprefix(group) for name in item.names if name.startswith(group)}


def bits(item: Item, group: str, logp: Any) -> Array:
    """Bits per dimension; the group's name or the network's config tells the data's range."""
    if "model" in item.config:
        centered = item.related(item.config["model"]).config["full"]["data"]["centered"]
    else:
        centered = "centered=1" in group.split("/")
    dims = item.given("data")[0].size
    return bits_per_dim(logp, dims, (2 if centered else 1) / LEVELS)


@partial(jax.jit, compiler_options={"xla_backend_optimization_level": "0"})  # it runs but once
def slopes(score_fn: Any, sde: SDE, x: Array, t: Array, v: Array) -> tuple[Array, Array]:
    """Drift of the flow, (B, ...), and v^T J v, (B,)."""
    drift, divergence = value_and_divergence(lambda x: ode_drift(sde, score_fn, x, t), x, v[None])
    return drift, divergence[:, 0]


@jax.jit
def solve_ours(
    score_fn: Any, sde: SDE, x: Array, v: Array, t_min: float, rtol: float, atol: float
) -> LogLikelihood:
    """Our log-likelihood, in which the probe of an example stands in for its key."""

    def given(key: Array, shape: tuple[int, ...]) -> Array:
        return key.reshape(shape)

    options = {"t_min": t_min, "rtol": rtol, "atol": atol, "max_steps": 10_000}
    return log_likelihood(v, sde, score_fn, x, probe=given, **options)


def closed_form(item: Item, group: str, sde: SDE, x: Any, v: Any) -> dict[str, Array]:
    """The same without a solver, in float64: the flow of Gaussian data is linear."""
    mu, std, t_min = (item.config[key] for key in ("data_mu", "data_std", "eps"))
    (a0, a1), (before, after) = scores.marginal(sde, std, jnp.array([t_min, 1.0]))
    z = a1 * mu + jnp.sqrt(after / before) * (x - a0 * mu)
    grown = 0.5 * jnp.sum(v**2, axis=(1, 2, 3)) * jnp.log(after / before)
    logps = {
        "bpd_ode_closed_form_f64": sde.prior_logp(z) + grown,
        "bpd_true_density_f64": gaussian_logp(x - mu, std),
        "bpd_marginal_at_eps_f64": gaussian_logp(x - a0 * mu, jnp.sqrt(before)),
    }
    found = {name: bits(item, group, logp) for name, logp in logps.items()}
    return found | {"z_closed_form_f64": z}


def check_field(item: Item) -> None:
    """Compares drift and divergence at one time per example."""
    _, rounded, n = sdes(*item.config["sde"])
    x, v, t = (jnp.asarray(item.given(name)) for name in ("data", "epsilon", "t_probe"))
    drift, divergence = slopes(scores.of(item, rounded, n), rounded, x, t, v)
    found = {"drift_at_t_probe": drift, "div_at_t_probe": divergence}
    for name in found.keys() & set(item.names):
        item.compare(name, found[name], NETWORK)
