"""a_sde: the SDEs, their reverses, their chains and priors; and the samplers' grids of times.

An array is compared with the original's float32 rounding (`original.ROUNDED`), and with our SDE:
with the float64 columns everywhere, with the rest where that rounding left five digits.
"""

import jax
import jax.numpy as jnp
import numpy as np

from scoresde_jax.sampling import pc_sample
from scoresde_jax.score import ve_discrete
from scoresde_jax.sde import SDE, VESDE, VPSDE, chain_index, chain_time, ode_drift, reverse_drift
from scoresde_jax.types import Array, ScoreFn, Update, bcast
from tests.golden.formula import score
from tests.golden.item import EXACT, FORMULA, Item
from tests.golden.original import chain_rounding, digits_left, sdes

PRECISION = 2.0**-23  # spacing of float32 numbers at one
GRIDS = {"mixed_": "t_mixed", "dense_": "t_dense", "": "t_grid"}
SPELLINGS = {"mean_coeff": "mean", "drift_coeff": "drift"}  # at x = 1
F64 = "_exact_f64"


def check(item: Item) -> None:
    """Compares one file."""
    if "sde" not in item.config:
        return check_grids(item)
    ours, rounded, n = sdes(item.config["sde"], item.config["kwargs"])
    score_fn = score(item.config["score"])
    for prefix, grid in GRIDS.items():
        if grid in item.names:
            x, t = points(item, prefix, grid)
            compare_values(item, prefix, ours, rounded, score_fn, x, t, n)
    compare_chain(item, ours, rounded, n)
    if "prior_logp_z" in item.names:
        item.compare("prior_logp_z", ours.prior_logp(jnp.asarray(item.given("z"))), FORMULA)


def points(item: Item, prefix: str, grid: str) -> tuple[Array, Array]:
    """x, (B, ...), and t, (B,), of a group of arrays; a plain grid takes all x at each of its t."""
    t = jnp.asarray(item.given(grid))
    if prefix == "dense_":
        return jnp.ones(t.shape), t
    x = jnp.asarray(item.given("x"))
    if prefix:
        return x, t
    return jnp.tile(x, (t.size,) + (1,) * (x.ndim - 1)), jnp.repeat(t, x.shape[0])


def values(sde: SDE, score_fn: ScoreFn, x: Array, t: Array, n: int) -> dict[str, Array]:
    """What the files tell of an SDE at (x, t), under their names."""
    mean, std = sde.marginal(x, t)
    f, G = sde.discretize(x, t, n)
    pull = bcast(G**2, x) * score_fn(x, t)
    return {
        "drift": sde.drift(x, t),
        "diffusion": sde.diffusion(t),
        "mean": mean,
        "std": std,
        "disc_f": f,
        "disc_G": G,
        "rev_drift": reverse_drift(sde, score_fn, x, t),
        "rev_diffusion": sde.diffusion(t),
        "pf_drift": ode_drift(sde, score_fn, x, t),
        "pf_diffusion": jnp.zeros_like(t),
        "rev_disc_f": f - pull,
        "rev_disc_G": G,
        "pf_disc_f": f - 0.5 * pull,
        "pf_disc_G": jnp.zeros_like(t),
    }


def compare_values(
    item: Item,
    prefix: str,
    ours: SDE,
    rounded: SDE,
    score_fn: ScoreFn,
    x: Array,
    t: Array,
    n: int,
) -> None:
    """Compares the arrays of a group."""
    exact, original = (values(sde, score_fn, x, t, n) for sde in (ours, rounded))
    others = tuple(p for p in GRIDS if p and p != prefix)
    for name in item.names:
        rest = name.removeprefix(prefix)
        key = SPELLINGS.get(rest.removesuffix(F64), rest.removesuffix(F64))
        if not name.startswith(prefix) or name.startswith(others) or key not in exact:
            continue
        shape = item.golden.arrays[name].shape
        if rest.endswith(F64):
            item.compare(name, exact[key].reshape(shape), FORMULA, each=True)
            continue
        each = original[key].ndim == 1  # numbers of time alone are of many scales
        item.compare(name, original[key].reshape(shape), FORMULA, each=each)
        kept = bcast(digits_left(ours, t), exact[key])
        agreed = jnp.where(kept, exact[key], original[key]).reshape(shape)
        item.compare(f"{name} ours", agreed, chain_tolerance(ours, key, x, original[key], n))


def chain_tolerance(sde: SDE, key: str, x: Array, original: Array, n: int) -> float:
    """FORMULA, and the rounding of the differences that the original's chains take."""
    scale = float(jnp.abs(original).max())
    if "disc" not in key or not scale:
        return FORMULA
    if isinstance(sde, VPSDE):  # f_i = sqrt(alpha_i) x - x is far smaller than x
        return FORMULA + PRECISION * float(jnp.abs(x).max()) / scale
    return FORMULA + chain_rounding(sde, n)


def chain(sde: SDE, n: int) -> dict[str, Array]:
    """The tables of an n-step chain, under the names of the files."""
    t = chain_time(jnp.arange(n), n)
    if isinstance(sde, VESDE):
        return {"discrete_sigmas": sde.chain_sigmas(t, n)[0]}
    if not isinstance(sde, VPSDE):
        return {}
    alpha_bars = sde.chain_alpha_bars(n)
    return {
        "discrete_betas": sde.chain_beta(t, n),
        "alphas": sde.chain_alpha(t, n),
        "alphas_cumprod": alpha_bars,
        "sqrt_alphas_cumprod": jnp.sqrt(alpha_bars),
        "sqrt_1m_alphas_cumprod": jnp.sqrt(1 - alpha_bars),
    }


def compare_chain(item: Item, ours: SDE, rounded: SDE, n: int) -> None:
    """Compares the tables of the chain."""
    exact, original = chain(ours, n), chain(rounded, n)
    for name in set(item.names) & set(exact):
        item.compare(name, original[name], FORMULA, each=True)
        # sqrt(1 - alphabar) at small i is the root of a difference in float32, there and here.
        difference = "_1m_" in name
        rounding = PRECISION / float(jnp.min(original[name])) if difference else 0.0
        item.compare(f"{name} ours", exact[name], FORMULA + rounding, each=not difference)


def check_grids(item: Item) -> None:
    """Compares the times that a sampler visits, and the indices and labels that they become."""
    for group in sorted({name.rpartition("/")[0] for name in item.names}):
        settings = item.config[group]
        n = int(settings["N"])
        found = {"timesteps": sampler_times(float(settings["eps"]), n)}
        given = f"{group}/timesteps"
        t = jnp.asarray(item.given(given)) if given in item.names else found["timesteps"]
        found["floor_index"] = chain_index(t, n)
        found["floor_index_jit"] = jax.jit(chain_index, static_argnums=1)(t, n)
        found["ve_label_round"] = ve_discrete(VESDE(), n=n).label(t)
        for key, value in found.items():
            if f"{group}/{key}" in item.names:
                tolerance = FORMULA if key == "timesteps" else EXACT
                item.compare(f"{group}/{key}", value, tolerance)


def sampler_times(t_min: float, n: int) -> np.ndarray:
    """The times at which `pc_sample` calls its predictor, written down by the predictor itself."""

    def predictor(key, sde, score_fn, x, t):
        del key, sde, score_fn
        x = jnp.concatenate([x[:, 1:], t[:, None]], axis=1)
        return Update(x, x, 0)

    def score_fn(x, t):
        raise AssertionError("the predictor above has no use for a score")

    key = jax.random.key(0)
    run = pc_sample(key, VPSDE(), score_fn, (1, n), predictor=predictor, steps=n, t_min=t_min)
    return np.asarray(run.x[0])
