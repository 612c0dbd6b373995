"""Inverse problems by name: config.posterior to an operator and what restores with it."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from scoresde_jax import posterior, sde
from scoresde_jax.build.assemble import Experiment
from scoresde_jax.build.checks import DEFINED_FOR
from scoresde_jax.build.samplers import CORRECTORS, PREDICTORS
from scoresde_jax.data import preprocess
from scoresde_jax.posterior import ladder, operators
from scoresde_jax.sampling import identity, log_snr_grid
from scoresde_jax.tables import lookup, select
from scoresde_jax.types import Array, Samples, ScoreFn

Config = Any  # a ConfigDict; type checkers know nothing of its attributes


class Restorer(NamedTuple):
    """A measurement and a solver for it. A step is of solvers that differentiate the network."""

    operator: operators.LinearOperator
    noise_std: float  # of y, in the network's scale
    sample: Callable[[Array, ScoreFn, Array], Samples]  # (key, score_fn, y)
    rows: ladder.Row | None  # of all steps, stacked
    step: Callable[[Array, ScoreFn, Array, Array, ladder.Row], Array] | None
    # (key, score_fn, y, x, row) -> x, its key the same for all


def _box(image_shape: tuple[int, ...], **box: int | None) -> operators.Mask:
    """A box; where nothing is said of it, half as high and wide as the image, in the middle."""
    height, width, _ = image_shape
    middle = {"top": height // 4, "left": width // 4, "height": height // 2, "width": width // 2}
    given = {key: value for key, value in box.items() if value is not None}
    return operators.box_mask(image_shape, **(middle | given))


def _gray(image_shape: tuple[int, ...]) -> operators.Gray:
    if image_shape[2] != 3:
        raise ValueError(f"images have {image_shape[2]} channel; grey is made of 3.")
    return operators.Gray()


OPERATORS = {
    "box": _box,
    "half": operators.half_mask,
    "random_pixels": operators.random_mask,
    "gray": _gray,
    "average": operators.average,
    "bicubic": operators.bicubic,
    "gaussian_blur": operators.gaussian_blur,
    "motion_blur": operators.motion_blur,
    "hadamard": operators.hadamard,
    "radon": operators.radon,
    "kspace": operators.kspace_lines,
}
RESTORERS = {
    "replacement": posterior.replacement_sample,
    "projection": posterior.projection_sample,
    "repaint": posterior.repaint_sample,
    "ddrm": posterior.ddrm_sample,
    "pigdm": posterior.pigdm_sample,
    "dps": posterior.dps_sample,
    "smc": posterior.smc_sample,
}
_STEPS = {"pigdm": posterior.pigdm_step, "dps": posterior.dps_step}


def operator(config: Config) -> operators.LinearOperator:
    """config.posterior.operator for images of the config's size.

    Raises:
      ValueError: the name or a key is unknown, or the operator does not take such images.
    """
    section = config.posterior
    shape = (config.data.image_size, config.data.image_size, config.data.channels)
    name = section.operator
    lookup(OPERATORS, name, "config.posterior.operator")
    where = f"config.posterior.{name}"
    chosen = select(OPERATORS, {"name": name, **section[name]}, where) if name != "box" else None
    try:
        return chosen(shape) if chosen else _box(shape, **section.box)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


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
    t_min = config.sampling.grid.t_min if section.t_min is None else section.t_min
    if not 0 < t_min < 1:
        raise ValueError(f"config.posterior.t_min is {t_min}; it lies between 0 and 1.")
    if "predictor" in options:
        _moves(options, config.sde.name, the_sde, where)
    measured = operator(config)
    shape = (count, config.data.image_size, config.data.image_size, config.data.channels)
    solver = select(
        RESTORERS,
        {"name": name, "noise_std": section.noise_std, "t_min": t_min, **options},
        where,
    )

    low = -1.0 if config.data.centered else 0.0

    def bounded(score_fn: ScoreFn) -> ScoreFn:
        return partial(posterior.bounded_score, the_sde, score_fn, low=low, high=1.0)

    def sample(key: Array, score_fn: ScoreFn, y: Array) -> Samples:
        return solver(key, the_sde, bounded(score_fn), measured, y, shape)

    _rehearse(sample, measured, shape, name, section.operator)
    if name not in _STEPS:
        return Restorer(measured, section.noise_std, sample, None, None)
    rows = ladder.rows(the_sde, log_snr_grid, options.pop("steps"), t_min)
    noise = {"noise_std": section.noise_std} if name == "pigdm" else {}
    one = partial(_STEPS[name], **noise, **options)

    def step(key: Array, score_fn: ScoreFn, y: Array, x: Array, row: ladder.Row) -> Array:
        return one(key, the_sde, bounded(score_fn), measured, y, x, row)

    return Restorer(measured, section.noise_std, sample, rows, step)


def _moves(options: dict[str, Any], sde_name: str, the_sde: sde.SDE, where: str) -> None:
    """Makes predictor and corrector of their names, in place."""
    predictor_name, corrector_name = options["predictor"], options["corrector"]
    if sde_name not in DEFINED_FOR.get(predictor_name, (sde_name,)):
        raise ValueError(
            f"{where}.predictor is {predictor_name!r}, which is not defined for config.sde.name "
            f"{sde_name!r}; choose another."
        )
    snr, corrector_steps, n = options.pop("snr"), options.pop("corrector_steps"), options["steps"]
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
    measured: operators.LinearOperator,
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
