"""g_ode_sampler: samples by the probability-flow ODE, and whole runs of predictor and corrector."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from scoresde_jax.sampling import decode, reverse_diffusion
from scoresde_jax.sde import SDE, ode_drift
from scoresde_jax.types import Array
from tests.golden import original, pc, scores, solves
from tests.golden.checks.likelihood import SOLVED
from tests.golden.item import FORMULA, NETWORK, Item
from tests.golden.original import chain_rounding, sdes


def check(item: Item) -> None:
    """Compares one file: a run on a given time grid, or an adaptive solve."""
    if "predictor" in item.config:
        return check_pc(item)
    check_original(item)
    check_ours(item)
    if "data_std" in item.config:
        check_closed_form(item)


def check_pc(item: Item) -> None:
    """Compares our sampler with the original's start and noise, and the times it goes through."""
    ours, rounded, n = sdes(*item.config["sde"])
    start, moving = item.given("x_init"), pc.draws_noise(item.config)
    names = [("z_corrector", moving["corrector"]), ("z_predictor", moving["predictor"])]
    for remark, sde in (("", rounded), (" ours", ours)):
        for denoise in (0, 1):
            draws = pc.draws(item, names, start.shape)
            score_fn, options = scores.of(item, sde, n), {"n": n, "denoise": bool(denoise)}
            x, times = pc.sample(item.config, sde, score_fn, start, draws, **options)
            if (name := f"denoise={denoise}/x") in item.names:
                # Some hundred moves, each of which rounds: 5e-7 is usual.
                rounding = chain_rounding(sde, n) if remark else 0
                item.compare(name + remark, x, NETWORK + rounding)
            if "timesteps" in item.names:
                item.compare(f"timesteps{remark}", times, FORMULA, each=True)


def outputs(item: Item, x: Any, denoised: Any) -> dict[str, Any]:
    """Samples by the names that the files have for them."""
    return {"x": x, "denoise=0/x": x, "denoise=1/x": denoised}


def last_step(score_fn: Any, sde: SDE, x: Array, t_min: float, *, n: int) -> Array:
    """The mean of one step of the reverse chain, the original's "denoise" at the end."""
    t = jnp.full(x.shape[:1], t_min)
    return reverse_diffusion(jax.random.key(0), sde, score_fn, x, t, n=n).x_mean


@jax.jit
def decoded(score_fn: Any, sde: SDE, z: Array, t_min: float, rtol: float, atol: float) -> Array:
    """The samples of our ODE sampler."""
    options = {"t_min": t_min, "rtol": rtol, "atol": atol, "max_steps": 10_000}
    return decode(sde, score_fn, z, **options).x


def check_original(item: Item) -> None:
    """Compares the original's solver around our drift, and its last step."""
    _, sde, n = sdes(*item.config["sde"])
    score_fn, t_min = scores.of(item, sde, n), item.config["eps"]
    options = {key: item.config[key] for key in ("rtol", "atol")}
    options["method"] = solves.method(item)

    # The SDE's numbers are constants here: added up in double precision, as in the original.
    field = jax.jit(lambda t, x: (ode_drift(sde, score_fn, x, t),))

    def run(z: Array) -> dict[str, Any]:
        (x,), nfe = original.solve(field, (z,), 1.0, t_min, **options)
        counts = dict.fromkeys(("nfe", "denoise=0/nfe", "denoise=1/nfe"), nfe)
        return counts | outputs(item, x, last_step(score_fn, sde, jnp.asarray(x), t_min, n=n))

    solves.compare(item, run, jnp.asarray(item.given("z")))


def check_ours(item: Item) -> None:
    """Compares our `decode`, also with the closed form where there is one."""
    sde, _, n = sdes(*item.config["sde"])
    score_fn, t_min = scores.of(item, sde, n), item.config["eps"]
    options = {key: item.config[key] for key in ("rtol", "atol")}
    x = decoded(score_fn, sde, jnp.asarray(item.given("z")), t_min, **options)
    found = outputs(item, x, last_step(score_fn, sde, x, t_min, n=n)) | {"x_closed_form_f64": x}
    times = SOLVED["network" if "model" in item.config else "gaussian"]
    for name in found.keys() & set(item.names):
        item.compare(f"{name} ours", found[name], times * max(options.values()))


def check_closed_form(item: Item) -> None:
    """Compares what the flow of Gaussian data, which is linear, gives in float64."""
    if "x_closed_form_f64" not in item.names:
        return
    sde, _, _ = sdes(*item.config["sde"])
    mu, std, t_min = (item.config[key] for key in ("data_mu", "data_std", "eps"))
    with jax.enable_x64(True):
        (a0, a1), (before, after) = scores.marginal(sde, std, jnp.array([t_min, 1.0]))
        x = a0 * mu + jnp.sqrt(before / after) * (np.float64(item.given("z")) - a1 * mu)
    item.compare("x_closed_form_f64", x, FORMULA)
