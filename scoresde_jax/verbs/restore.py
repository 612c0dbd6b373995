"""`--mode restore`: degraded images, and draws of what they may have been."""

import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from scoresde_jax import build, data, evaluation, files, programs, tasks
from scoresde_jax.posterior import baselines, degrade, operators
from scoresde_jax.progress import Progress
from scoresde_jax.verbs.common import mesh_of, open_run, say, user_errors

SHOWN = 4  # draws of an image in the picture
MEANT = 1000  # training images that the mean colour is of


class Problem(NamedTuple):
    """What was measured of images, in the network's scale, and what they are where it is known."""

    y: jax.Array  # (N, ...)
    truth: jax.Array | None  # (N, H, W, C)


def restore(config: build.Config, workdir: pathlib.Path, *, input: str = "") -> int:
    """Restores test images, or those of a file, with the averaged parameters.

    Writes restore/<operator>_<solver>_<step>: .npz with "draws" (N, draws, H, W, C), "mean",
    "degraded" and "truth" as uint8, "std" in [0, 1] and "y" as measured; .png; .json with PSNR and
    SSIM of pictures in [0, 1] and "consistency", the root mean square of A x - y in the network's
    scale, beside those of restorations without a model. Returns 1 if a draw is not finite.

    Args:
      input: a file; with config.posterior.input "original" its pictures are degraded first, and
        with "degraded" they are what there is.
    """
    section = config.posterior
    with user_errors():
        experiment = build.experiment(config)
        mesh = mesh_of(config, "posterior")
        restorer = build.restorer(config, experiment.sde, section.batch_size)
        problem = _problem(experiment, config, restorer, input)
        train_set = build.dataset(config, "train")
        run = open_run(tasks.score_task(experiment, config), config, workdir, mesh, must_exist=True)
    draw = programs.restoring_program(experiment, restorer, section.batch_size, run.mesh)
    x, nfe = _draws(draw, run.state.ema_params, problem.y, section)
    whole = np.asarray(np.isfinite(x).all(axis=(2, 3, 4)))
    x = np.where(np.expand_dims(whole, (2, 3, 4)), x, 0.0)

    shape, operator = experiment.image_shape, restorer.operator
    others = {
        "nearest": baselines.nearest(operator, problem.y, shape),
        "mean_colour": baselines.closest_to(
            operator, problem.y, _mean_colour(experiment, config, train_set)
        ),
    }
    unit = np.clip(np.asarray(build.to_unit(config, jnp.asarray(x))), 0, 1)
    std = unit.std(axis=1)
    found = {
        "checkpoint_step": run.start,
        "data": config.data.name if not input else input,
        "operator": {"name": section.operator, **section[section.operator]},
        "solver": {"name": section.solver, **section[section.solver]},
        "noise_std": section.noise_std,
        "images": len(x),
        "draws": section.draws,
        "evaluations": nfe,
        "not_finite": np.argwhere(~whole).tolist(),
        "std": float(std.mean()),
        "draw": _scores(config, operator, problem, x),
        "mean": _scores(config, operator, problem, x.mean(axis=1, keepdims=True)),
        **{
            name: _scores(config, operator, problem, np.asarray(image)[:, None])
            for name, image in others.items()
        },
    }
    target = workdir / "restore" / f"{section.operator}_{section.solver}_{run.start}"
    degraded = experiment.to_pixels(baselines.picture_of(operator, problem.y, shape))
    columns = {
        "y": np.asarray(problem.y),
        "degraded": np.asarray(degraded),
        "draws": np.asarray(experiment.to_pixels(jnp.asarray(x))),
        "mean": np.asarray(experiment.to_pixels(jnp.asarray(x.mean(axis=1)))),
        "std": std,
    }
    if problem.truth is not None:
        columns["truth"] = np.asarray(experiment.to_pixels(problem.truth))
    files.write_npz(target.with_suffix(".npz"), columns)
    files.write_json(target.with_suffix(".json"), files.plain(found))
    evaluation.restoration_figure(
        target.with_suffix(".png"), _columns(columns), title=_title(found, config)
    )
    print("\n".join([*_lines(found), f"pictures: {target.with_suffix('.png')}"]))
    if not whole.all():
        say(f"not finite, and black: (image, draw) {found['not_finite']}")
        say(f"raise config.posterior.{section.solver}.steps, or choose another solver")
        return 1
    return 0


def _problem(
    experiment: build.Experiment, config: build.Config, restorer: build.Restorer, file: str
) -> Problem:
    """What is to be restored; ValueError where a file does not fit."""
    section, shape, operator = config.posterior, experiment.image_shape, restorer.operator
    if section.input not in ("original", "degraded"):
        raise ValueError(f"config.posterior.input is {section.input!r}; known: original, degraded.")
    if section.input == "degraded":
        if not file:
            raise ValueError("config.posterior.input is 'degraded': name the file by --input.")
        pictures = data.given_images(file)[: section.images]
        return Problem(_measured(experiment, config, operator, pictures, file), None)
    if file:
        pictures = data.given_images(file)[: section.images]
        _check_size(pictures, shape, file, "config.data's")
    else:
        test_set = build.dataset(config, "test")
        pictures = np.asarray(test_set.images[: section.images])
        pictures = pictures.astype(np.float32) / ((test_set.levels or 2) - 1)
    x = build.from_unit(experiment, config, jnp.asarray(pictures))
    key = jax.random.fold_in(jax.random.key(section.seed), 0)
    y = degrade(key, operator, x, section.noise_std)
    return Problem(y, x)


def _measured(
    experiment: build.Experiment,
    config: build.Config,
    operator: operators.LinearOperator,
    pictures: np.ndarray,
    file: str,
) -> jax.Array:
    """y of pictures that are degraded already."""
    shape, name = experiment.image_shape, config.posterior.operator
    x = build.from_unit(experiment, config, jnp.asarray(pictures))
    if isinstance(operator, operators.Mask):
        _check_size(pictures, shape, file, "config.data's")
        return operator.forward(x)
    if not baselines.measures_pictures(operator, shape):
        raise ValueError(
            f"config.posterior.input is 'degraded', and what {name!r} measures is no picture; set "
            "'original', or choose a mask, gray, average, bicubic or a blur."
        )
    wanted = operators.check_operator(operator, (1, *shape))[1:]
    _check_size(pictures, wanted, file, f"what config.posterior.operator {name!r} makes")
    return x


def _check_size(pictures: np.ndarray, wanted: tuple[int, ...], file: str, whose: str) -> None:
    if pictures.shape[1:] != tuple(wanted):
        raise ValueError(
            f"--input {file}: pictures of (height, width, channels) {pictures.shape[1:]}; expected "
            f"{tuple(wanted)}, {whose}. Crop, resize or convert it first."
        )


def _draws(
    draw: Callable, params: Any, y: jax.Array, section: build.Config
) -> tuple[np.ndarray, int]:
    """(N, draws, H, W, C) in the network's scale, and evaluations of each."""
    rows = np.repeat(np.arange(len(y)), section.draws)
    key, size = jax.random.fold_in(jax.random.key(section.seed), 1), section.batch_size
    progress = Progress("restore", len(rows), unit="draw")
    parts, nfe = [], 0
    for first in range(0, len(rows), size):
        chosen = np.resize(rows[first : first + size], size)
        x, nfe = draw(params, jax.random.fold_in(key, first // size), y[chosen])
        parts.append(np.asarray(x))
        progress.update(min(first + size, len(rows)))
    progress.close()
    x = np.concatenate(parts)[: len(rows)]
    return x.reshape(len(y), section.draws, *x.shape[1:]), int(nfe)


def _mean_colour(
    experiment: build.Experiment, config: build.Config, train_set: data.Dataset
) -> jax.Array:
    """(C,) in the network's scale, of the first training images."""
    images = np.asarray(train_set.images[:MEANT], np.float64) / ((train_set.levels or 2) - 1)
    colour = jnp.asarray(images.mean(axis=(0, 1, 2)), jnp.float32)
    return build.from_unit(experiment, config, colour) * jnp.ones((1, *experiment.image_shape))


def _scores(
    config: build.Config,
    operator: operators.LinearOperator,
    problem: Problem,
    x: np.ndarray,
) -> dict[str, float]:
    """Means over images and draws of x (N, draws, H, W, C)."""
    count, draws = x.shape[:2]
    seen = np.asarray(operator.forward(jnp.asarray(x.reshape(-1, *x.shape[2:]))))
    off = seen.reshape(count, draws, -1) - np.asarray(problem.y).reshape(count, 1, -1)
    found = {"consistency": float(np.sqrt(np.mean(off**2)))}
    if problem.truth is not None:
        unit = np.clip(np.asarray(build.to_unit(config, jnp.asarray(x))), 0, 1)
        truth = np.clip(np.asarray(build.to_unit(config, problem.truth)), 0, 1)[:, None]
        found["psnr"] = float(evaluation.psnr(unit, truth).mean())
        found["ssim"] = float(evaluation.ssim(unit, truth).mean())
    return found


def _columns(columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The picture's columns; the standard deviation is white where it is largest."""
    draws = columns["draws"]
    white = max(float(columns["std"].max()), 1e-6)
    shown = {"degraded": columns["degraded"]}
    shown |= {f"draw {i + 1}": draws[:, i] for i in range(min(SHOWN, draws.shape[1]))}
    shown["mean"] = columns["mean"]
    shown["std"] = np.round(255 * columns["std"] / white).astype(np.uint8)
    if "truth" in columns:
        shown["truth"] = columns["truth"]
    return shown


def _title(found: dict, config: build.Config) -> str:
    noise = f", noise {found['noise_std']:g}" if found["noise_std"] else ""
    return f"{config.data.name}: {found['operator']['name']}{noise}; {found['solver']['name']}"


def _lines(found: dict) -> list[str]:
    """The numbers as a table."""
    lines = [
        f"{found['operator']['name']}, {found['solver']['name']}: {found['images']} images, "
        f"{found['draws']} draws each, {found['evaluations']} evaluations a draw",
        f"{'':12} {'PSNR':>8} {'SSIM':>8} {'A x - y':>10}",
    ]
    for name in ("draw", "mean", "nearest", "mean_colour"):
        scores = found[name]
        texts = [
            f"{scores[key]:8.{digits}f}" if key in scores else f"{'':8}"
            for key, digits in (("psnr", 2), ("ssim", 3))
        ]
        lines.append(f"{name:12} {' '.join(texts)} {scores['consistency']:10.2g}")
    return lines
