"""Restorations by name: config.posterior to a measurement and what restores with it."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from scoresde_jax import posterior, sde
from scoresde_jax.build.assemble import Experiment
from scoresde_jax.build.checks import DEFINED_FOR
from scoresde_jax.build.operators import data_range, operator
from scoresde_jax.build.samplers import CORRECTORS, PREDICTORS
from scoresde_jax.data import preprocess
from scoresde_jax.posterior import ladder, operators
from scoresde_jax.sampling import identity, log_snr_grid
from scoresde_jax.tables import lookup, select
from scoresde_jax.types import Array, Samples, ScoreFn

Config = Any  # a ConfigDict; type checkers know nothing of its attributes


class Steps(NamedTuple):
    """A solver as a loop over rows, which makes what its `sample` makes of the same key."""

    rows: ladder.Row  # stacked
    start: Callable[[Array], Any]  # key -> state
    step: Callable[[Array, ScoreFn, Array, Any, ladder.Row], Any]  # key, score_fn, y, state, row
    end: Callable[[Array, ScoreFn, Array, Any], Array]  # key, score_fn, y, state -> x
    nfe: int


class Restorer(NamedTuple):
    """A measurement and a solver for it."""

    operator: operators.Operator
    sample: Callable[[Array, ScoreFn, Array], Samples]  # (key, score_fn, y)
    steps: Steps | None  # of solvers that differentiate the network


RESTORERS = {
    "replacement": posterior.replacement_sample,
    "projection": posterior.projection_sample,
    "repaint": posterior.repaint_sample,
    "ddrm": posterior.ddrm_sample,
    "pigdm": posterior.pigdm_sample,
    "dps": posterior.dps_sample,
    "smc": posterior.smc_sample,
}
_STEP_OF = {"pigdm": posterior.pigdm_step, "dps": posterior.dps_step}
PRIOR_STD = 0.25  # of pictures about their mean, of the way from black to white, where none is set


def restorer(config: Config, the_sde: sde.SDE, count: int) -> Restorer:
    """The solver of config.posterior for its operator, `count` measurements at a time.

    Predictions of x_0 are kept within the range of the data: `posterior.bounded_score`.

    Raises:
      ValueError: a name or key is unknown, a number is out of its range, or the solver does not
        take this operator or this noise.
    """
    section = config.posterior
    for key in ("images", "draws"):
        if section[key] < 1:
            raise ValueError(f"config.posterior.{key} is {section[key]}; it must be >= 1.")
    if not section.noise_std >= 0:
        raise ValueError(f"config.posterior.noise_std is {section.noise_std}; it must be >= 0.")
    name = section.solver
    lookup(RESTORERS, name, "config.posterior.solver")
    where = f"config.posterior.{name}"
    options: dict[str, Any] = dict(section[name])
    t_min, key = section.t_min, "config.posterior.t_min"
    if t_min is None:
        t_min, key = config.sampling.grid.t_min, "config.sampling.grid.t_min"
    if not 0 < t_min < 1:
        raise ValueError(f"{key} is {t_min}; it lies between 0 and 1.")
    low, high = data_range(config)
    if "prior_std" in options:
        if options["prior_std"] is None:
            options["prior_std"] = PRIOR_STD * (high - low)
        if not options["prior_std"] > 0:
            raise ValueError(f"{where}.prior_std is {options['prior_std']}; it must be > 0.")
    if "predictor" in options:
        _moves(options, config.sde.name, the_sde, where)
    measured = operator(config)
    shape = (count, config.data.image_size, config.data.image_size, config.data.channels)
    solver = select(
        RESTORERS,
        {"name": name, "noise_std": section.noise_std, "t_min": t_min, **options},
        where,
    )

    def bounded(score_fn: ScoreFn) -> ScoreFn:
        return partial(posterior.bounded_score, the_sde, score_fn, low=low, high=high)

    def sample(key: Array, score_fn: ScoreFn, y: Array) -> Samples:
        return solver(key, the_sde, bounded(score_fn), measured, y, shape)

    _rehearse(sample, measured, shape, name, section.operator)
    steps = None
    if name in (*_STEP_OF, "smc"):
        rows = ladder.rows(the_sde, log_snr_grid, options.pop("steps"), t_min)
        if name != "dps":
            options["noise_std"] = section.noise_std
        make = _particles if name == "smc" else partial(_moved, _STEP_OF[name])
        steps = make(the_sde, bounded, measured, shape, rows, **options)
    return Restorer(measured, sample, steps)


def _moved(
    move: Callable[..., Array],
    the_sde: sde.SDE,
    bounded: Callable[[ScoreFn], ScoreFn],
    measured: operators.Operator,
    shape: tuple[int, ...],
    rows: ladder.Row,
    **options: float,
) -> Steps:
    """Of a solver whose steps are all alike, the one to the data too."""

    def start(key: Array) -> Array:
        return the_sde.prior_sample(jax.random.split(key)[0], shape)

    def step(key: Array, score_fn: ScoreFn, y: Array, x: Array, row: ladder.Row) -> Array:
        key = jax.random.split(key)[1]
        return move(key, the_sde, bounded(score_fn), measured, y, x, row, **options)

    return Steps(rows, start, step, lambda key, score_fn, y, x: x, len(rows.i))


def _particles(
    the_sde: sde.SDE,
    bounded: Callable[[ScoreFn], ScoreFn],
    measured: operators.Operator,
    shape: tuple[int, ...],
    rows: ladder.Row,
    *,
    noise_std: float,
    particles: int,
    prior_std: float,
) -> Steps:
    """Of SMC, whose step to the data is another."""
    above, last = jax.tree.map(lambda a: a[:-1], rows), jax.tree.map(lambda a: a[-1], rows)

    def keys(key: Array) -> tuple[Array, Array, Array]:  # as smc_sample splits them
        draw_key, key = jax.random.split(key)
        prior_key, loop_key = jax.random.split(key)
        return draw_key, prior_key, loop_key

    def start(key: Array) -> posterior.Cloud:
        return posterior.smc_start(keys(key)[1], the_sde, shape, particles)

    def step(
        key: Array, score_fn: ScoreFn, y: Array, cloud: posterior.Cloud, row: ladder.Row
    ) -> posterior.Cloud:
        at = keys(key)[2], the_sde, bounded(score_fn), measured, y, cloud, row
        return posterior.smc_step(*at, noise_std=noise_std, prior_std=prior_std)

    def end(key: Array, score_fn: ScoreFn, y: Array, cloud: posterior.Cloud) -> Array:
        at = the_sde, bounded(score_fn), measured, y, cloud, last
        return posterior.one_of_each(keys(key)[0], *posterior.smc_end(*at, noise_std=noise_std))

    return Steps(above, start, step, end, particles * len(rows.i))


def _moves(options: dict[str, Any], sde_name: str, the_sde: sde.SDE, where: str) -> None:
    """Makes predictor and corrector of their names, in place."""
    predictor_name, corrector_name = options["predictor"], options["corrector"]
    if sde_name not in DEFINED_FOR.get(predictor_name, (sde_name,)):
        raise ValueError(
            f"{where}.predictor is {predictor_name!r}, which is not defined for config.sde.name "
            f"{sde_name!r}; choose another."
        )
    snr, corrector_steps, n = options.pop("snr"), options.pop("corrector_steps"), options["steps"]
    if not snr > 0:
        raise ValueError(f"{where}.snr is {snr}; it must be > 0.")
    predictor = lookup(PREDICTORS, predictor_name, f"{where}.predictor")
    corrector = lookup(CORRECTORS, corrector_name, f"{where}.corrector")
    if predictor is not identity:
        predictor = partial(predictor, n=n)
    if corrector is not identity:
        alpha = partial(the_sde.chain_alpha, n=n)
        corrector = partial(corrector, snr=snr, steps=corrector_steps, alpha=alpha)
    options |= {"predictor": predictor, "corrector": corrector}


def _rehearse(
    sample: Callable[[Array, ScoreFn, Array], Samples],
    measured: operators.Operator,
    shape: tuple[int, ...],
    solver_name: str,
    operator_name: str,
) -> None:
    """Traces a solver with a score that costs nothing, so that it says what it does not take."""
    try:
        y = jax.ShapeDtypeStruct(operators.check_operator(measured, shape), jnp.float32)
        jax.eval_shape(lambda key, y: sample(key, lambda x, t: -x, y), jax.random.key(0), y)
    except ValueError as error:
        raise ValueError(
            f"config.posterior.solver is {solver_name!r} and config.posterior.operator is "
            f"{operator_name!r}: {error}"
        ) from error


def from_unit(experiment: Experiment, config: Config, pictures: Array) -> Array:
    """Pictures (..., H, W, C) in [0, 1], black to white, in the network's scale.

    Of data that are dequantized a level is the middle of what stands for it.
    """
    levels = config.data.levels
    if levels is None:
        return experiment.scale_cells(pictures)
    if config.data.dequantize:
        return experiment.scale_cells(pictures * (levels - 1) + 0.5)
    return experiment.scale_cells(pictures * levels)


def to_unit(config: Config, x: Array) -> Array:
    """The network's scale in [0, 1], not clipped."""
    return preprocess.uncenter(x) if config.data.centered else x
