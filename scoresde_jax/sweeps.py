"""Quality against evaluations: many samplers on one model, from the same noise.

Quality is the Frechet distance, in the principal components of the training images, between
samples and the training set. Samplers of the flow ODE are compared with its accurate solution as
well, image by image.
"""

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from scoresde_jax import build, data, evaluation, programs
from scoresde_jax.progress import Progress
from scoresde_jax.types import Array, Samples, ScoreFn

FEATURES = 64  # principal components
MOST_IMAGES = 10_000  # real ones, of either split
REFERENCE_TOLERANCE = 1e-6  # of the accurate solution
# Evaluations of the network in a step; one in those that are not here.
EVALUATIONS = {"heun": 2, "dpm_solver_2s": 2}
# Samplers that follow the flow ODE, and so have a right answer.
FLOW = ("ode", "ddim", "heun", "dpm_solver_2s", "dpm_solver_2m", "dpm_solver_3m", "unipc")


class Trial(NamedTuple):
    """One sampler with one budget."""

    sampler: str
    setting: str  # in words
    draw: Callable[[Array, ScoreFn, tuple[int, ...]], Samples]


def trials(experiment: build.Experiment, config: build.Config) -> list[Trial]:
    """Every sampler of config.sweep with every budget.

    Raises:
      ValueError: a sampler is not known.
    """
    return [
        Trial(name, setting, build.sampler(section, experiment.sde))
        for name, setting, section in _sections(config)
    ]


def _sections(config: build.Config) -> Iterator[tuple[str, str, build.Config]]:
    """Sampler, setting and section of config.sampling, of every trial."""
    sweep = config.sweep
    for name in sweep.samplers:
        if name == "pc":
            for steps in sweep.pc_steps:
                yield _section(
                    config, name, f"{steps} steps", pc={"steps": steps, "denoise": False}
                )
        elif name in ("ode", "adaptive"):
            tolerances = sweep.ode_tolerances if name == "ode" else sweep.adaptive_tolerances
            for tol in tolerances:
                options: dict[str, Any] = {"rtol": tol, "atol": tol}
                if name == "adaptive":
                    options["denoise"] = False
                yield _section(config, name, f"tolerance {tol:g}", **{name: options})
        else:
            for budget in sweep.evaluations:
                steps = max(budget // EVALUATIONS.get(name, 1), 1)
                options = {"solver": name, "steps": steps, "denoise": False}
                yield _section(config, name, f"{steps} steps", grid=options)


def _section(
    config: build.Config, name: str, setting: str, **options: dict[str, Any]
) -> tuple[str, str, build.Config]:
    (method,) = options
    section = config.sampling.copy_and_resolve_references()
    section.update({"method": method, **options})
    return name, setting, section


def run(
    todo: list[Trial],
    experiment: build.Experiment,
    config: build.Config,
    params: Any,
    mesh: Mesh,
    train_set: data.Dataset,
    test_set: data.Dataset,
) -> dict[str, Any]:
    """Runs every trial; returns what sweep/results.json holds."""
    # All images as levels: the unit of the distances is a level.
    real, unseen = (np.asarray(part.images[:MOST_IMAGES]) for part in (train_set, test_set))
    projection = evaluation.principal_components(real, FEATURES)
    goal = evaluation.moments(projection.features(real))

    def distance(levels: np.ndarray) -> float:
        found = evaluation.moments(projection.features(levels))
        return evaluation.frechet_distance(found, goal)

    progress = Progress("sweep", len(todo) + 1, unit="sampler")
    draw = partial(_draw, config=config, params=params, mesh=mesh)
    reference = draw(experiment._replace(sampler=_reference(config, experiment)))
    progress.update(1)
    rows = []
    for trial in todo:
        drawn = draw(experiment._replace(sampler=trial.draw))
        row = {
            "sampler": trial.sampler,
            "setting": trial.setting,
            "nfe": float(drawn.nfe.mean()),
            "converged": bool(drawn.converged.all()),
            "frechet_distance": None,
            "rms_error": None,
        }
        if row["converged"]:
            row["frechet_distance"] = distance(_levels(experiment, drawn.x))
            if trial.sampler in FLOW:
                row["rms_error"] = math.sqrt(np.mean(np.square(drawn.x - reference.x)))
        rows.append(row)
        progress.update(1 + len(rows), f"{trial.sampler}, {trial.setting}")
    progress.close()
    return {
        "images": config.sweep.images,
        "features": goal.mean.size,
        "reference": {"nfe": float(reference.nfe.mean()), "tolerance": REFERENCE_TOLERANCE},
        "real_images": {
            "frechet_distance": distance(unseen),
            "images": len(unseen),
        },
        "rows": rows,
    }


def table(results: dict[str, Any]) -> str:
    """The rows as a Markdown table."""
    lines = [
        "| sampler | setting | evaluations | Frechet distance | rms error of the flow |",
        "|---|---|---|---|---|",
    ]
    for row in results["rows"]:
        quality, error = row["frechet_distance"], row["rms_error"]
        cells = [
            row["sampler"],
            row["setting"],
            f"{row['nfe']:.0f}",
            "not finite" if quality is None else f"{quality:.3g}",
            "" if error is None else f"{error:.2g}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _reference(config: build.Config, experiment: build.Experiment):
    """The flow ODE, accurately, from the noise that every sampler has for the same key."""
    section = config.sampling.copy_and_resolve_references()
    tolerance = REFERENCE_TOLERANCE
    section.update(
        {"method": "ode", "ode": {"rtol": tolerance, "atol": tolerance, "max_steps": 10_000}}
    )
    return build.sampler(section, experiment.sde)


def _draw(experiment: build.Experiment, config: build.Config, params: Any, mesh: Mesh) -> Samples:
    """config.sweep.images samples, on the host, x in the network's scale."""
    size = config.sampling.batch_size
    draw = programs.drawing_program(experiment, size, mesh)
    key = jax.random.key(config.sampling.seed)
    batches = range(math.ceil(config.sweep.images / size))
    parts = [jax.device_get(draw(params, jax.random.fold_in(key, i))) for i in batches]
    return jax.tree.map(lambda *part: np.concatenate(part)[: config.sweep.images], *parts)


def _levels(experiment: build.Experiment, x: Any) -> np.ndarray:
    """The nearest levels of samples, 0 to levels - 1; of data without levels, 0 to 1."""
    pixels = np.asarray(experiment.to_pixels(jnp.asarray(x)), np.float64)
    return pixels * ((experiment.levels or 2) - 1) / 255
