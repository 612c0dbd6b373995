"""Whether two networks trained on the same data give an image the same latent.

    python -m benchmarks.encodings --workdir runs/x --other runs/y

The probability flow of given data and SDE has nothing in it to be learned, so that its latents, the
codes of images, ought not to depend on the network (Song et al. 2021, section 4.3 and appendix
D.5). Both encode the same test images, with the same noise within the levels and the settings of
the first one's `sampling.ode`. The distance between codes is a root mean square over images and
dimensions, in standard deviations of the prior, and is given for three others as well:

    shuffled    the second's codes of other images: sqrt(2) if codes are white
    Gaussian    the exact flow of a Gaussian of the training images' mean and covariance
    untrained   the network of --other with the parameters that its training started from

Then the first decodes its own, the second's and the Gaussian's codes; the distance from the images
is one of pixels, black and white being 1 apart, and nothing is cut off that is blacker or whiter.
Writes <output>.json and <output>.png.
"""

import argparse
import pathlib
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from configs import common
from scoresde_jax import build, encodings, evaluation, files, sharding, tasks, workdirs
from scoresde_jax.posterior.exact import gaussian
from scoresde_jax.progress import Progress
from scoresde_jax.types import Array, Samples

DECODED = ("first", "second", "Gaussian")
SHOWN = 16  # images in the picture
MOST_IMAGES = 10_000  # of the training set, whose covariance is taken
ADVICE = "Codes agree for one SDE and one data set only: name two workdirs of these."


class Model(NamedTuple):
    """A trained workdir."""

    config: build.Config
    experiment: build.Experiment
    run: workdirs.Trained


def main(argv: list[str] | None = None) -> int:
    """Prints the table and writes the files; 1 if an ODE did not converge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--workdir", type=pathlib.Path, required=True)
    parser.add_argument("--other", type=pathlib.Path, required=True)
    parser.add_argument("--images", type=int, default=297, help="at most, of the test set")
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("runs/encodings"))
    arguments = parser.parse_args(argv)
    sharding.split_cpu(None)
    mesh = sharding.device_mesh()
    try:
        if arguments.images < 2:
            raise ValueError(f"--images is {arguments.images}; correlations need two or more.")
        first, second = (opened(path, mesh) for path in (arguments.workdir, arguments.other))
        stored, holder = files.plain(second.config.to_dict()), f"--other {arguments.other} is"
        workdirs.check_same_model(first.config, stored, ("sde", "data"), holder, ADVICE)
        images = build.dataset(first.config, "test").images[: arguments.images]
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    began = time.perf_counter()
    x = dequantized(first, images)
    codes = encoded(first, second, x)
    stuck = {name: np.flatnonzero(~code.converged).tolist() for name, code in codes.items()}
    if any(stuck.values()):
        print(f"the ODE did not converge for images {stuck}", file=sys.stderr)
        return 1
    z = {name: np.asarray(code.x) / prior_std(first) for name, code in codes.items()}
    decoded = decodings(first, {name: np.asarray(codes[name].x) for name in DECODED})
    lost = {name: np.flatnonzero(~part.converged).tolist() for name, part in decoded.items()}
    pixels = {name: unit(first, np.asarray(part.x)) for name, part in decoded.items()}
    rows = table(unit(first, x), z, pixels)
    seconds = time.perf_counter() - began
    results = {
        "workdirs": {"first": description(arguments.workdir, first, codes["first"])}
        | {"second": description(arguments.other, second, codes["second"])},
        "images": len(images),
        "ode": first.config.sampling.ode.to_dict(),
        "std_of_codes": {name: float(code.std()) for name, code in z.items()},
        "rows": rows,
        "not_decoded": lost,
        "seconds": seconds,
    }
    files.write_json(arguments.output.with_suffix(".json"), results)
    picture(arguments.output.with_suffix(".png"), first, unit(first, x), z, pixels)
    print(text(rows))
    print(f"{len(images)} images, {seconds:.0f} s: {arguments.output}.json, .png")
    if any(lost.values()):
        print(f"black, as the ODE did not converge for the codes {lost}", file=sys.stderr)
    return int(any(lost.values()))


def opened(workdir: pathlib.Path, mesh: jax.sharding.Mesh) -> Model:
    """The newest checkpoint of a workdir, with the config that it was trained with.

    Raises:
      ValueError: there is none, or it cannot be read.
    """
    stored = workdir / "config.json"
    if not stored.exists():
        raise ValueError(f"{workdir} has no config.json; name a trained workdir.")
    config = build.resolve(completed(files.read_json(stored)))
    experiment = build.experiment(config)
    task = tasks.score_task(experiment, config)
    run = workdirs.open_run(task, config, workdir, mesh, must_exist=True)
    return Model(config, experiment, run)


def completed(stored: dict[str, Any]) -> build.Config:
    """A stored config with what is younger than it, as `configs/common.py` has it."""
    base = common.base(stored["sde"]["name"])
    section = stored["data"]
    base.data = common.data(
        section["name"],
        size=section["image_size"],
        channels=section["channels"],
        levels=section["levels"],
    )
    return type(base)(_over(base.to_dict(), stored))


def _over(default: Mapping[str, Any], stored: Mapping[str, Any]) -> dict[str, Any]:
    """Section by section; one that names something else is taken as it is stored."""
    if default.get("name") != stored.get("name"):
        return dict(stored)
    found = dict(default)
    for key, value in stored.items():
        below = isinstance(value, dict) and isinstance(default.get(key), dict)
        found[key] = _over(default[key], value) if below else value
    return found


def dequantized(model: Model, images: np.ndarray) -> np.ndarray:
    """uint8 images as the flow takes them, each with noise of its own; (N, H, W, C)."""
    keys = jax.vmap(jax.random.fold_in, (None, 0))(jax.random.key(0), jnp.arange(len(images)))
    return np.asarray(model.experiment.scale_eval(keys, jnp.asarray(images)))


def encoded(first: Model, second: Model, x: np.ndarray) -> dict[str, Samples]:
    """The codes of x by each encoder."""
    sde, network = first.experiment.sde, second.experiment
    train = build.dataset(first.config, "train").images[:MOST_IMAGES]
    flat = np.asarray(dequantized(first, np.asarray(train)), np.float64).reshape(len(train), -1)
    linear = gaussian(flat.mean(axis=0), np.cov(flat.T))
    fresh = jax.jit(network.init_params)(jax.random.key(second.config.training.seed))
    untrained = jax.device_put(fresh, sharding.replicated(second.run.mesh))
    # With the first one's solver: the second's may have other tolerances, or end elsewhere.
    encode = first.experiment.encode
    by_second = jax.jit(lambda params, x: encode(network.score_fn(params), x))
    by_first = jax.jit(lambda params, x: encode(first.experiment.score_fn(params), x))
    by_gaussian = jax.jit(lambda params, x: encode(partial(params.score, sde), x))
    programs: dict[str, tuple[Callable, Any]] = {
        "first": (by_first, first.run.state.ema_params),
        "second": (by_second, second.run.state.ema_params),
        "Gaussian": (by_gaussian, linear),
        "untrained": (by_second, untrained),
    }
    return {name: carried(first, name, *row, x) for name, row in programs.items()}


def carried(
    model: Model, name: str, program: Callable[[Any, Array], Samples], params: Any, x: np.ndarray
) -> Samples:
    """`encodings.in_batches`, in batches of config.sampling."""
    mesh, size = model.run.mesh, model.config.sampling.batch_size
    progress = Progress(name, len(x), unit="image")
    return encodings.in_batches(program, params, x, batch_size=size, mesh=mesh, progress=progress)


def decodings(model: Model, codes: Mapping[str, np.ndarray]) -> dict[str, Samples]:
    """What a model makes of each set of codes."""
    decode, score_fn = model.experiment.decode, model.experiment.score_fn
    program = jax.jit(lambda params, z: decode(score_fn(params), z))
    params = model.run.state.ema_params
    return {name: carried(model, f"decode {name}", program, params, z) for name, z in codes.items()}


def prior_std(model: Model) -> float:
    """The standard deviation of the prior in one dimension."""
    return float(model.experiment.sde.marginal(jnp.zeros(1), jnp.ones(1))[1][0])


def unit(model: Model, x: np.ndarray) -> np.ndarray:
    """Data as pixels, of which 0 is black and 1 is white; NaN, of no convergence, is black."""
    low, high = model.experiment.scale_cells(jnp.asarray([0.0, model.experiment.levels or 1.0]))
    return np.nan_to_num((x - np.asarray(low)) / np.asarray(high - low))


def table(
    x: np.ndarray, z: Mapping[str, np.ndarray], decoded: Mapping[str, np.ndarray]
) -> dict[str, dict[str, float]]:
    """The numbers of each row: its codes against the first's, what the first makes of them."""
    z = {**z, "shuffled": np.roll(z["second"], 1, axis=0)}
    decoded = {**decoded, "shuffled": np.roll(decoded["second"], 1, axis=0)}
    found = {}
    for name, code in z.items():
        alike = evaluation.agreement(z["first"], code)
        found[name] = {
            "distance": alike.distance,
            "correlation": float(alike.correlation.mean()),
            "least_correlation": float(alike.correlation.min()),
            "matched": alike.matched,
        }
        if name in decoded:
            found[name]["pixel_distance"] = evaluation.agreement(x, decoded[name]).distance
    return found


def description(workdir: pathlib.Path, model: Model, codes: Samples) -> dict[str, Any]:
    """Which model it is, and what its codes cost."""
    leaves = jax.tree.leaves(model.run.state.params)
    return {
        "workdir": str(workdir),
        "checkpoint_step": model.run.start,
        "parameters": sum(leaf.size for leaf in leaves),
        "model": model.config.model.to_dict(),
        "nfe": float(codes.nfe.mean()),
    }


def picture(
    path: pathlib.Path,
    model: Model,
    x: np.ndarray,
    z: Mapping[str, np.ndarray],
    decoded: Mapping[str, np.ndarray],
) -> None:
    """Codes against codes, and what the first model makes of them."""
    names = {"images": x} | {f"{name}'s code": decoded[name] for name in DECODED}
    shown = {
        name: np.round(255 * np.clip(part[:SHOWN], 0, 1)).astype(np.uint8)
        for name, part in names.items()
    }
    title = f"{model.config.data.name}, {model.config.sde.name} SDE: codes of {len(x)} test images"
    evaluation.agreement_figure(path, z["first"], z["second"], shown, title=title)


def text(rows: Mapping[str, Mapping[str, float]]) -> str:
    """The table as markdown."""
    head = "codes by", "distance", "correlation", "least", "matched", "pixels from the image"
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for name, row in rows.items():
        numbers = "{distance:.3f} | {correlation:.3f} | {least_correlation:.3f}".format(**row)
        pixels = f"{row['pixel_distance']:.3f}" if "pixel_distance" in row else ""
        lines.append(f"| {name} | {numbers} | {row['matched']:.1%} | {pixels} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
