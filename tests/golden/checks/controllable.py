"""i_controllable: inpainting and colourisation by replacement, one update and full runs."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from scoresde_jax.posterior import colorize, decouple_gray, inpaint, recouple_gray
from scoresde_jax.posterior.operators.gray import GRAY_BASIS
from scoresde_jax.sampling.pc import Constrain
from scoresde_jax.sde import SDE
from tests.golden import noise, original, pc
from tests.golden.formula import score
from tests.golden.item import FORMULA, Item
from tests.golden.original import chain_rounding, sdes

# Some hundred moves, each of which rounds: 6e-6 is usual.
RUN = 1e-4
STARTS = {"inpaint_x": "inpaint", "color_x": "color"}


def check(item: Item) -> None:
    """Compares one file: the colour coordinates, or single updates, starts and full runs."""
    if "sde" not in item.config:
        return check_coordinates(item)
    ours, rounded, n = sdes(*item.config["sde"])
    for remark, sde in (("", rounded), (" ours", ours)):
        for name in item.names:
            group, _, part = name.rpartition("/")
            if group == "init" and part in STARTS:
                check_start(item, part, sde, remark)
            elif group and part in ("x", "x_mean"):
                check_update(item, group, part, sde, n, remark)
            elif part.startswith("denoise="):
                check_run(item, group, part == "denoise=1", sde, n, remark)


def check_coordinates(item: Item) -> None:
    """Compares the change to grey and two colours, and back."""
    image = jnp.asarray(item.given("image"))
    found = {
        "M": GRAY_BASIS,
        "invM": GRAY_BASIS.T,
        "decoupled": decouple_gray(image),
        "coupled_of_decoupled": recouple_gray(decouple_gray(image)),
        "coupled": recouple_gray(image),
    }
    for name in found.keys() & set(item.names):
        item.compare(name, found[name], FORMULA)


def constraint(item: Item, task: str) -> Constrain:
    """Our constraint for "inpaint" or "color"."""
    if task == "inpaint":
        return partial(inpaint, known=item.given("data"), mask=item.given("mask"))
    if task == "color":
        return partial(colorize, gray=item.given("gray"))
    raise ValueError(f"{task!r} is neither 'inpaint' nor 'color'")


def as_2021(task: str, item: Item, x: jax.Array, x_mean: jax.Array) -> jax.Array:
    """The original's x_mean from ours and our x."""
    if task == "inpaint":
        return original.noisy_where_unknown(x, x_mean, item.given("mask"))
    coordinates = decouple_gray(x), decouple_gray(x_mean)
    return recouple_gray(original.noisy_where_unknown(*coordinates, np.array([1.0, 0, 0])))


def start(item: Item, task: str, prior: jax.Array) -> jax.Array:
    """The state at t = 1 that the original started from."""
    if task == "inpaint":
        return original.start(prior, item.given("data"), item.given("mask"))
    return original.gray_start(prior, item.given("gray"))


def check_start(item: Item, name: str, sde: SDE, remark: str) -> None:
    """Compares the start that a prior sample gives, "init/inpaint_x" or "init/color_x"."""
    z = item.given("init/z")
    with noise.given([z]):
        prior = sde.prior_sample(jax.random.key(0), z.shape)
    item.compare(f"init/{name}{remark}", start(item, STARTS[name], prior), FORMULA)


def check_update(item: Item, name: str, part: str, sde: SDE, n: int, remark: str) -> None:
    """Compares x or x_mean after one constrained move, e.g. "inpaint_corrector"."""
    task, _, kind = name.partition("_")
    x = jnp.asarray(item.given("x"))
    t = jnp.broadcast_to(item.given("t"), x.shape[:1])
    move = dict(zip(("corrector", "predictor"), pc.moves(item.config, sde, n), strict=True))[kind]
    update_noise, data_noise = (item.given(f"{name}/{z}") for z in ("z_update", "z_data"))
    drawn = update_noise.reshape(-1, *x.shape) if pc.draws_noise(item.config)[kind] else []
    key = jax.random.key(0)
    with noise.given([*drawn, data_noise]):
        update = move(key, sde, score(item.config["score"]), x, t)
        update = constraint(item, task)(key, sde, update, t)
    found = update.x if part == "x" else as_2021(task, item, update.x, update.x_mean)
    tolerance = FORMULA + (chain_rounding(sde, n) if remark else 0)
    item.compare(f"{name}/{part}{remark}", found, tolerance)


def check_run(item: Item, task: str, denoise: bool, sde: SDE, n: int, remark: str) -> None:
    """Compares a whole run, "inpaint/denoise=1" or the like."""
    prior, moving = item.given("prior_sample"), pc.draws_noise(item.config)
    names = [("zc_update", moving["corrector"]), ("zc_data", True)]
    names += [("zp_update", moving["predictor"]), ("zp_data", True)]

    def run(denoise: bool) -> jax.Array:
        draws = pc.draws(item, names, prior.shape)
        options = {"n": n, "denoise": denoise, "constrain": constraint(item, task)}
        score_fn = score(item.config["score"])
        return pc.sample(item.config, sde, score_fn, start(item, task, prior), draws, **options)[0]

    x = run(denoise=False)
    found = as_2021(task, item, x, run(denoise=True)) if denoise else x
    tolerance = RUN + (chain_rounding(sde, n) if remark else 0)
    name = f"{task}/denoise={int(denoise)}"
    item.compare(f"{name}{remark}", found, tolerance)
    if task == "inpaint":  # the rest may be many times as large
        known = item.given("mask")
        item.compare(f"{name} where known{remark}", found, tolerance, where=known)
