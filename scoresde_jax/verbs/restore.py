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
PICTURED = 8  # images in it
MEANT = 1000  # training images that the mean colour is of


class Problem(NamedTuple):
    """What was measured of images, in the network's scale, and what they are where it is known."""

    operator: operators.Operator
    y: jax.Array  # (N, ...)
    truth: jax.Array | None  # (N, H, W, C)


class Restored(NamedTuple):
    """What a solver made of it."""

    x: np.ndarray  # (N, draws, H, W, C) in the network's scale; black where not finite
    whole: np.ndarray  # (N, draws) bool, which were finite
    evaluations: int  # of each draw

    @property
    def counted(self) -> np.ndarray:
        """(N, draws, 1, 1, 1) bool, what an image's mean is over: if all were lost, all black."""
        return np.expand_dims(self.whole | ~self.whole.any(axis=1, keepdims=True), (2, 3, 4))

    @property
    def mean(self) -> np.ndarray:
        """(N, H, W, C), over the finite draws."""
        return self.x.mean(axis=1, where=self.counted)


def restore(config: build.Config, workdir: pathlib.Path, *, input: str = "") -> int:
    """Restores test images from all over the set, or those of a file, with averaged parameters.

    Writes restore/<operator>_<solver>_<step>, with _noise<noise_std> and _<file> behind that where
    there is noise or a file: .npz with "draws" (N, draws, H, W, C), "mean",
    "degraded" and "truth" as uint8, "std" in [0, 1] and "y" as measured; .png; .json with PSNR and
    SSIM of pictures in [0, 1] and "consistency", the root mean square of A x - y in the network's
    scale, beside those of restorations without a model. A draw that is not finite is black, counts
    in no number, and makes the exit code 1.

    Args:
      input: a file; with config.posterior.input "original" its pictures are degraded first, and
        with "degraded" they are what there is.
    """
    section = config.posterior
    with user_errors():
        experiment = build.experiment(config)
        mesh = mesh_of(config, "posterior")
        restorer = build.restorer(config, experiment.sde, section.batch_size)
        problem = _problem(experiment, config, restorer.operator, input)
        colour = _mean_colour(experiment, config, build.dataset(config, "train"))
        run = open_run(tasks.score_task(experiment, config), config, workdir, mesh, must_exist=True)
    draw = programs.restoring_program(experiment, restorer, run.mesh)
    restored = _draws(draw, run.state.ema_params, problem.y, config)

    plain = _without_a_model(problem, colour)
    found = {
        "checkpoint_step": run.start,
        "data": config.data.name if not input else input,
        **_settings(section),
        **_numbers(config, problem, restored, plain),
    }
    columns = _columns(experiment, config, problem, restored)
    target = str(workdir / "restore" / _name(section, run.start, input))
    files.write_npz(f"{target}.npz", columns)
    evaluation.restoration_figure(f"{target}.png", _shown(columns), title=_title(found, config))
    files.write_json(f"{target}.json", files.plain(found))
    print("\n".join([*_lines(found), f"pictures: {target}.png"]))
    if found["not_finite"]:
        say(f"not finite, and black: (image, draw) {found['not_finite']}")
        say(f"raise config.posterior.{section.solver}.steps, or choose another solver")
        return 1
    return 0


def _problem(
    experiment: build.Experiment, config: build.Config, operator: operators.Operator, file: str
) -> Problem:
    """What is to be restored; ValueError where a file does not fit."""
    section, shape = config.posterior, experiment.image_shape
    if section.input not in ("original", "degraded"):
        raise ValueError(f"config.posterior.input is {section.input!r}; known: original, degraded.")
    if section.input == "degraded":
        if not file:
            raise ValueError("config.posterior.input is 'degraded': name the file by --input.")
        pictures = _given(file, section.images)
        return Problem(operator, _measured(experiment, config, operator, pictures, file), None)
    if file:
        pictures = _given(file, section.images)
        _check_size(pictures, shape, file, "config.data's")
    else:
        test_set = build.dataset(config, "test")
        pictures = np.asarray(test_set.images[_spread(section.images, len(test_set.images))])
        pictures = pictures.astype(np.float32) / ((test_set.levels or 2) - 1)
    x = build.from_unit(experiment, config, jnp.asarray(pictures))
    key = jax.random.fold_in(jax.random.key(section.seed), 0)
    y = degrade(key, operator, x, section.noise_std)
    return Problem(operator, y, x)


def _spread(most: int, count: int) -> np.ndarray:
    """Up to so many of `count` rows, evenly spread: data may be sorted by class."""
    return np.linspace(0, count - 1, min(most, count)).round().astype(int)


def _given(file: str, most: int) -> np.ndarray:
    """The first pictures of a file, (N, H, W, C) in [0, 1]."""
    pictures, count = data.given_images(file, most)
    if count > most:
        say(
            f"{file} has {count} pictures; the first {most} are restored, as many as "
            "config.posterior.images says"
        )
    return pictures


def _measured(
    experiment: build.Experiment,
    config: build.Config,
    operator: operators.Operator,
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
            "'original', or choose a mask, gray, average, bicubic, a blur or high_dynamic_range."
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


def _draws(draw: Callable, params: Any, y: jax.Array, config: build.Config) -> Restored:
    """Several draws of each image, in batches of one size."""
    section, (black, _) = config.posterior, build.data_range(config)
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
    x = x.reshape(len(y), section.draws, *x.shape[1:])
    whole = np.asarray(np.isfinite(x).all(axis=(2, 3, 4)))
    return Restored(np.where(np.expand_dims(whole, (2, 3, 4)), x, black), whole, int(nfe))


def _without_a_model(problem: Problem, colour: jax.Array) -> dict[str, jax.Array]:
    """Restorations (N, H, W, C) to hold the draws beside; `colour` is an image (1, H, W, C)."""
    operator, y, shape = problem.operator, problem.y, colour.shape[1:]
    linear = isinstance(operator, operators.LinearOperator)
    found = {"mean_colour": baselines.closest_to(operator, y, colour)}
    if linear or baselines.measures_pictures(operator, shape):
        found["nearest"] = baselines.nearest(operator, y, shape)
    return found


def _mean_colour(
    experiment: build.Experiment, config: build.Config, train_set: data.Dataset
) -> jax.Array:
    """(1, H, W, C) in the network's scale, one colour, of the first training images."""
    images = np.asarray(train_set.images[:MEANT], np.float64) / ((train_set.levels or 2) - 1)
    colour = jnp.asarray(images.mean(axis=(0, 1, 2)), jnp.float32)
    return build.from_unit(experiment, config, colour) * jnp.ones((1, *experiment.image_shape))


def _settings(section: build.Config) -> dict[str, Any]:
    """What was asked for."""
    return {
        "operator": {"name": section.operator, **section[section.operator]},
        "solver": {"name": section.solver, **section[section.solver]},
        "noise_std": section.noise_std,
        "draws": section.draws,
    }


def _numbers(
    config: build.Config, problem: Problem, restored: Restored, plain: dict[str, jax.Array]
) -> dict[str, Any]:
    """How good the draws are, their mean, and what was made without a model."""
    some = np.asarray(restored.whole.any(axis=1))  # the images that have a draw
    images = {
        "draw": (restored.x, restored.whole),
        "mean": (restored.mean[:, None], some[:, None]),
        **{
            name: (np.asarray(image)[:, None], np.ones((len(some), 1), bool))
            for name, image in plain.items()
        },
    }
    return {
        "images": len(some),
        "evaluations": restored.evaluations,
        "not_finite": np.argwhere(~restored.whole).tolist(),
        "std": float(_std(config, restored)[some].mean()) if some.any() else None,
        **{name: _scores(config, problem, *given) for name, given in images.items()},
    }


def _std(config: build.Config, restored: Restored) -> np.ndarray:
    """Of the finite draws of each image, (N, H, W, C), of pictures in [0, 1]."""
    return _unit(config, restored.x).std(axis=1, where=restored.counted)


def _scores(
    config: build.Config, problem: Problem, x: np.ndarray, whole: np.ndarray
) -> dict[str, Any]:
    """Means over those of x (N, draws, H, W, C) that are `whole` (N, draws); {} of none.

    And "psnr_of_images", that of each image, None where no draw of it is whole.
    """
    if not whole.any():
        return {}
    count, draws = x.shape[:2]
    forward = operators.forward_of(problem.operator)
    seen = np.asarray(forward(jnp.asarray(x.reshape(-1, *x.shape[2:]))))
    off = seen.reshape(count, draws, -1) - np.asarray(problem.y).reshape(count, 1, -1)
    found: dict[str, Any] = {"consistency": float(np.sqrt(np.mean(off[whole] ** 2)))}
    if problem.truth is not None:
        unit, truth = _unit(config, x), _unit(config, np.asarray(problem.truth))[:, None]
        psnr = np.asarray(evaluation.psnr(unit, truth))
        found["psnr"] = float(psnr[whole].mean())
        found["psnr_of_images"] = [
            float(row[own].mean()) if own.any() else None
            for row, own in zip(psnr, whole, strict=True)
        ]
        found["ssim"] = float(evaluation.ssim(unit, truth)[whole].mean())
    return found


def _unit(config: build.Config, x: np.ndarray) -> np.ndarray:
    """Pictures in [0, 1]."""
    return np.clip(np.asarray(build.to_unit(config, jnp.asarray(x))), 0, 1)


def _columns(
    experiment: build.Experiment, config: build.Config, problem: Problem, restored: Restored
) -> dict[str, np.ndarray]:
    """The arrays of the .npz file, pictures as uint8."""
    low, high = build.data_range(config)
    shape = experiment.image_shape
    degraded = baselines.picture_of(problem.operator, problem.y, shape, low=low, high=high)
    pictures = {"degraded": degraded, "draws": restored.x, "mean": restored.mean}
    if problem.truth is not None:
        pictures["truth"] = problem.truth
    columns = {
        name: np.asarray(experiment.to_pixels(jnp.asarray(picture)))
        for name, picture in pictures.items()
    }
    return columns | {"y": np.asarray(problem.y), "std": _std(config, restored)}


def _shown(columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The picture's columns; the standard deviation is white where it is largest."""
    rows = _spread(PICTURED, len(columns["draws"]))
    columns = {name: column[rows] for name, column in columns.items()}
    draws = columns["draws"]
    white = max(float(columns["std"].max()), 1e-6)
    shown = {"degraded": columns["degraded"]}
    shown |= {f"draw {i + 1}": draws[:, i] for i in range(min(SHOWN, draws.shape[1]))}
    shown["mean"] = columns["mean"]
    shown["std"] = np.round(255 * columns["std"] / white).astype(np.uint8)
    if "truth" in columns:
        shown["truth"] = columns["truth"]
    return shown


def _name(section: build.Config, step: int, file: str) -> str:
    """Of the files that are written, without what follows the dot."""
    parts = [section.operator, section.solver, str(step)]
    parts += [f"noise{section.noise_std:g}"] if section.noise_std else []
    return "_".join([*parts, pathlib.Path(file).stem] if file else parts)


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
        if name not in found:  # nothing is near in what is no picture
            continue
        scores = found[name]
        texts = [
            f"{scores[key]:8.{digits}f}" if key in scores else f"{'':8}"
            for key, digits in (("psnr", 2), ("ssim", 3))
        ]
        off = f"{scores['consistency']:10.2g}" if scores else ""
        lines.append(f"{name:12} {' '.join(texts)} {off}")
    return lines + _gains(found)


def _gains(found: dict) -> list[str]:
    """By how much the mean of the draws is above what was made without a model, image by image."""
    ours = found["mean"].get("psnr_of_images", [])
    lines = []
    for name in ("nearest", "mean_colour"):
        theirs = found.get(name, {}).get("psnr_of_images", [])
        gains = [a - b for a, b in zip(ours, theirs, strict=False) if a is not None]
        if len(gains) > 1:
            error = np.std(gains, ddof=1) / len(gains) ** 0.5
            lines.append(f"PSNR of mean less {name}: {np.mean(gains):+.2f} +- {error:.2f} dB")
    return lines
