"""Samplers by name: config.sampling to a function of (key, score_fn, shape)."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from scoresde_jax import runge_kutta, sampling, sde
from scoresde_jax.tables import lookup
from scoresde_jax.types import Array, Samples, ScoreFn

PREDICTORS = {
    "euler_maruyama": sampling.euler_maruyama,
    "euler": sampling.euler,
    "reverse_diffusion": sampling.reverse_diffusion,
    "probability_flow": sampling.probability_flow,
    "ancestral": sampling.ancestral,
    "identity": sampling.identity,
}
CORRECTORS = {
    "langevin": sampling.langevin,
    "annealed_langevin": sampling.annealed_langevin,
    "identity": sampling.identity,
}
SOLVERS = {
    "ddim": sampling.ddim,
    "heun": sampling.heun,
    "dpm_solver_2s": sampling.dpm_solver_2s,
    "dpm_solver_2m": sampling.dpm_solver_2m,
    "dpm_solver_3m": sampling.dpm_solver_3m,
    "sde_dpm_solver_1": sampling.sde_dpm_solver_1,
    "sde_dpm_solver_2m": sampling.sde_dpm_solver_2m,
    "unipc": partial(sampling.unipc, order=2),
    "unipc_3": partial(sampling.unipc, order=3),
}
GRIDS = {
    "uniform": sampling.uniform_grid,
    "quadratic": sampling.quadratic_grid,
    "log_snr": sampling.log_snr_grid,
    "edm": sampling.edm_grid,
}
PAIRS = {
    "rk23": runge_kutta.BOGACKI_SHAMPINE,
    "rk45": runge_kutta.DORMAND_PRINCE,
    "tsit5": runge_kutta.TSITOURAS,
}


def sampler(
    section: Mapping[str, Any], the_sde: sde.SDE
) -> Callable[[Array, ScoreFn, tuple[int, ...]], Samples]:
    """The sampler of a config.sampling section.

    Raises:
      ValueError: a name or key is unknown.
    """
    makers = {"pc": _pc, "ode": _ode, "grid": _grid, "adaptive": _adaptive}
    method = section["method"]
    make = lookup(makers, method, "config.sampling.method")
    return _on(make(dict(section[method]), the_sde), the_sde)


def _pc(options: dict[str, Any], the_sde: sde.SDE) -> Callable:
    n, snr = options.pop("n"), options.pop("snr")
    corrector_steps = options.pop("corrector_steps")
    n = options["steps"] if n is None else n
    predictor_name, corrector_name = options.pop("predictor"), options.pop("corrector")
    predictor = lookup(PREDICTORS, predictor_name, "config.sampling.pc.predictor")
    corrector = lookup(CORRECTORS, corrector_name, "config.sampling.pc.corrector")
    if predictor is not sampling.identity:
        predictor = partial(predictor, n=n)
    if corrector is not sampling.identity:
        alpha = partial(the_sde.chain_alpha, n=n)
        corrector = partial(corrector, snr=snr, steps=corrector_steps, alpha=alpha)
    return partial(sampling.pc_sample, predictor=predictor, corrector=corrector, **options)


def _ode(options: dict[str, Any], the_sde: sde.SDE) -> Callable:
    del the_sde
    options["pair"] = lookup(PAIRS, options["pair"], "config.sampling.ode.pair")
    return partial(sampling.ode_sample, **options)


def between(
    carry: Callable[..., Samples], section: Mapping[str, Any], the_sde: sde.SDE
) -> Callable[[ScoreFn, Array], Samples]:
    """`encode` or `decode` with the settings of config.sampling.ode."""
    options = dict(section["ode"])
    del options["temperature"]
    options["pair"] = lookup(PAIRS, options["pair"], "config.sampling.ode.pair")
    return lambda score_fn, x: carry(the_sde, score_fn, x, **options)


def _grid(options: dict[str, Any], the_sde: sde.SDE) -> Callable:
    del the_sde
    s_churn = options.pop("s_churn")
    method = lookup(SOLVERS, options.pop("solver"), "config.sampling.grid.solver")
    if method is sampling.heun:
        method = partial(method, s_churn=s_churn)
    grid = lookup(GRIDS, options.pop("times"), "config.sampling.grid.times")
    return partial(sampling.grid_sample, method=method, grid=grid, **options)


def _adaptive(options: dict[str, Any], the_sde: sde.SDE) -> Callable:
    del the_sde
    return partial(sampling.adaptive_sample, **options)


def _on(sampler: Callable, the_sde: sde.SDE) -> Callable[..., Samples]:
    return lambda key, score_fn, shape: sampler(key, the_sde, score_fn, shape)
