"""Measurements by name: the operators of config.posterior."""

from functools import partial
from typing import Any

from scoresde_jax.posterior import operators
from scoresde_jax.tables import lookup, select

Config = Any  # a ConfigDict; type checkers know nothing of its attributes


def _box(
    image_shape: tuple[int, ...],
    *,
    top: int | None,
    left: int | None,
    height: int | None,
    width: int | None,
) -> operators.Mask:
    """A box; where nothing is said of it, half as high and wide as the image, in the middle."""
    rows, columns, _ = image_shape
    given = (top, left, height, width)
    middle = (rows // 4, columns // 4, rows // 2, columns // 2)
    box = (b if a is None else a for a, b in zip(given, middle, strict=True))
    return operators.box_mask(image_shape, *box)


def _gray(image_shape: tuple[int, ...]) -> operators.Gray:
    if image_shape[2] != 3:
        raise ValueError(f"images have {image_shape[2]} channel; grey is made of 3.")
    return operators.Gray()


def _high_dynamic_range(
    image_shape: tuple[int, ...], *, gain: float, low: float, high: float
) -> operators.Measurement:
    return partial(operators.high_dynamic_range, gain=gain, low=low, high=high)


def _phase_retrieval(
    image_shape: tuple[int, ...], *, oversampling: float, low: float
) -> operators.Measurement:
    return partial(operators.phase_retrieval, oversampling=oversampling, low=low)


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
    "high_dynamic_range": _high_dynamic_range,
    "phase_retrieval": _phase_retrieval,
}
# What they are told of the network's scale: black, and white.
_RANGED = {"high_dynamic_range": ("low", "high"), "phase_retrieval": ("low",)}


def data_range(config: Config) -> tuple[float, float]:
    """Black and white in the network's scale."""
    return (-1.0 if config.data.centered else 0.0), 1.0


def operator(config: Config) -> operators.Operator:
    """config.posterior.operator for images of the config's size.

    Raises:
      ValueError: the name or a key is unknown, or the operator does not take such images.
    """
    section = config.posterior
    shape = (config.data.image_size, config.data.image_size, config.data.channels)
    name = section.operator
    lookup(OPERATORS, name, "config.posterior.operator")
    where, options = f"config.posterior.{name}", dict(section[name])
    scale = dict(zip(("low", "high"), data_range(config), strict=True))
    options |= {key: scale[key] for key in _RANGED.get(name, ())}
    chosen = select(OPERATORS, {"name": name, **options}, where)
    try:
        made = chosen(shape)
        operators.check_operator(made, (1, *shape))
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
    return made
