"""The verbs of main.py: train, evaluate, sample. Loops and files; the maths is in scoresde_jax.

Every verb first builds the whole experiment, so that a mistake costs no compilation and nothing is
written; files are written under a temporary name and renamed.
"""

import os
import pathlib
import sys
from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from scoresde_jax import (
    build,
    data,
    evaluation,
    files,
    likelihood,
    programs,
    reports,
    sharding,
    training,
)
from scoresde_jax.data import preprocess
from scoresde_jax.progress import Progress
from scoresde_jax.types import Array

# Sections that give a checkpoint's parameters their meaning; in one workdir they stay the same.
MODEL_SECTIONS = ("sde", "parameterization", "model", "data")

SAMPLING_ADVICE = {
    "ode": "raise config.sampling.ode.max_steps, or loosen config.sampling.ode.rtol and .atol",
    "pc": "lower config.sampling.pc.snr, or raise config.sampling.pc.steps",
}


class UserError(ValueError):
    """The user's mistake: what was expected, what came, what to do. Nothing was written."""


class Trained(NamedTuple):
    """The newest state of a workdir, or a fresh one, and where it lives."""

    mesh: jax.sharding.Mesh
    checkpoints: training.Checkpoints
    state: training.TrainState
    start: int  # the state's step
    position: dict[str, Any]  # in the data


def run(config: build.Config, *, mode: str, workdir: str | pathlib.Path, num_samples: int) -> int:
    """Runs one verb, "train", "eval" or "sample", in a workdir; returns the exit code.

    Raises:
      UserError: config, data or workdir do not fit.
      RunError: training diverged.
    """
    verbs = {"train": train, "eval": evaluate, "sample": partial(sample, num_samples=num_samples)}
    return verbs[mode](build.resolve(config), pathlib.Path(workdir))


def command(
    config: build.Config, *, mode: str, workdir: str | pathlib.Path, num_samples: int
) -> int:
    """`run` for a command line: what goes wrong is one message; returns the exit code."""
    try:
        return run(config, mode=mode, workdir=workdir, num_samples=num_samples)
    except UserError as error:
        _say(f"error: {error}")
        return 2
    except reports.RunError as error:
        _say(f"error: {error}")
        return 1
    except KeyboardInterrupt:
        _say("interrupted")
        return 130


def default_workdir(config_file: str) -> pathlib.Path:
    """runs/<sde>-<dataset>-<variant> for configs/<sde>/<dataset>.py:<variant>."""
    file, _, variant = config_file.partition(":")
    path = pathlib.Path(file)
    return pathlib.Path("runs") / f"{path.resolve().parent.name}-{path.stem}-{variant or 'default'}"


def train(config: build.Config, workdir: pathlib.Path) -> int:
    """Trains to config.training.steps, from the newest checkpoint of the workdir if it has one.

    Writes config.json, metrics.jsonl, tensorboard/, checkpoints/, training.png and
    samples/snapshot_<step>.png. SIGINT and SIGTERM save a checkpoint first.
    """
    section = config.training
    with _user_errors():
        experiment = build.experiment(config)
        train_set = build.dataset(config, "train")
        test_set = build.dataset(config, "test")
        batches = data.batches(train_set, batch_size=section.batch_size, seed=section.seed)
        run = _open(experiment, config, workdir, ("training", "batch_size"))
        if run.start > section.steps:
            raise ValueError(
                f"{workdir} is trained to step {run.start} already, beyond config.training.steps "
                f"{section.steps}; raise it, or name another --workdir."
            )
    batches.set_state(run.position)
    if run.start:
        _say(f"going on from step {run.start} of {workdir}")
    resolved = config.to_dict()
    files.write_json(workdir / "config.json", resolved)
    records = training.Records(workdir, start=run.start)
    progress = Progress("train", section.steps, start=run.start, unit="step")
    due = reports.Reports(experiment, config, run.mesh, workdir, records, progress, test_set)
    step, state, metrics = run.start, run.state, {}
    with training.StopSignals() as stop:
        advance = programs.training_program(experiment, config, run.mesh)
        while step < section.steps and not stop.received:
            end = _chunk_end(step, section)
            chunk = _stack(batches, end - step, section.n_jitted_steps)
            state, metrics = advance(state, chunk, end - step)
            step = end
            due.report(step, state, metrics)
            if step % section.checkpoint_every == 0 or step == section.steps or stop.received:
                due.check_finite(step, metrics)
                run.checkpoints.save(state, config=resolved, data=batches.get_state())
            due.snapshot(step, state)
        if stop.received and step > run.start:  # a signal may have come after the save was decided
            due.check_finite(step, metrics)
            run.checkpoints.save(state, config=resolved, data=batches.get_state())
        for resource in (progress, records, run.checkpoints):
            resource.close()  # waits for the last checkpoint
    evaluation.training_figure(workdir / "training.png", training.read_records(workdir))
    if stop.received:
        saved = "checkpoint saved" if step > run.start else "nothing new to save"
        _say(f"stopped at step {step}; {saved}. The same command goes on from there.")
        return 128 + stop.received
    return 0


def evaluate(config: build.Config, workdir: pathlib.Path) -> int:
    """Scores the test set with the averaged parameters: loss, and bits/dim with its error.

    Writes eval/results.json, eval/bpd.npz and eval/bpd.png. Returns 1 if an ODE did not converge.
    """
    with _user_errors():
        experiment = build.experiment(config)
        test_set = build.dataset(config, "test")
        run = _open(experiment, config, workdir, ("likelihood", "batch_size"), must_exist=True)
    columns = programs.score(experiment, run.state.ema_params, config, run.mesh, test_set)
    converged, bpd = columns["converged"], columns["bpd"]
    failed = [int(i) for i in columns["index"][~converged]]
    mean, error = likelihood.mean_and_standard_error(bpd)
    loss, loss_error = likelihood.mean_and_standard_error(columns["loss"])
    results = {
        "checkpoint_step": run.start,
        "evaluation_loss": {"mean": loss, "standard_error": loss_error, "images": len(bpd)},
        "bits_per_dim": {
            "mean": None if failed else mean,
            "standard_error": None if failed else error,
            "images": len(bpd),
            "nfe": {"mean": float(columns["nfe"].mean()), "max": int(columns["nfe"].max())},
        },
        "not_converged": failed,
        "config": config.to_dict(),
    }
    files.write_npz(workdir / "eval" / "bpd.npz", columns)
    files.write_json(workdir / "eval" / "results.json", results)
    figure = workdir / "eval" / "bpd.png"
    if failed:
        figure.unlink(missing_ok=True)
        _say(f"the ODE did not converge at indices {failed}; the mean is null")
        _say("raise config.likelihood.max_steps, or loosen config.likelihood.rtol and .atol")
        return 1
    pixels = preprocess.to_uint8(jnp.asarray(test_set.images) / (test_set.levels - 1))
    title = f"{config.data.name} test set, step {run.start}"
    evaluation.bpd_figure(figure, bpd, np.asarray(pixels), title=title)
    print(f"bits/dim {mean:.4f} +- {error:.4f} on {len(bpd)} images, loss {loss:.4f}")
    return 0


def sample(config: build.Config, workdir: pathlib.Path, *, num_samples: int) -> int:
    """Draws images with the averaged parameters and the sampler of config.sampling.

    Writes samples/<method>_<step>.npz ("samples" uint8 (N, H, W, C), "nfe", "converged") and a PNG
    grid of the same name. Returns 1 if an ODE did not converge or an image is not finite.
    """
    section = config.sampling
    with _user_errors():
        experiment = build.experiment(config)
        run = _open(experiment, config, workdir, ("sampling", "batch_size"), must_exist=True)
    draw = programs.sampling_program(experiment, section.batch_size, run.mesh)
    key = jax.random.key(section.seed)
    progress = Progress("sample", num_samples, unit="image")
    parts = []
    for first in range(0, num_samples, section.batch_size):
        key_of_batch = jax.random.fold_in(key, first // section.batch_size)
        parts.append(jax.device_get(draw(run.state.ema_params, key_of_batch)))
        progress.update(min(first + section.batch_size, num_samples))
    progress.close()
    names = ("samples", "nfe", "converged")
    columns = {
        n: np.concatenate(p)[:num_samples]
        for n, p in zip(names, zip(*parts, strict=True), strict=True)
    }
    target = workdir / "samples" / f"{section.method}_{run.start}.npz"
    files.write_npz(target, columns)
    evaluation.save_png(target.with_suffix(".png"), evaluation.image_grid(columns["samples"]))
    print(f"{num_samples} images, {columns['nfe'].mean():.0f} evaluations each: {target}")
    failed = np.flatnonzero(~columns["converged"])
    if failed.size:
        _say(f"{section.method} found no finite image for {failed.tolist()}; they are black")
        _say(SAMPLING_ADVICE[section.method])
        return 1
    return 0


def _open(
    experiment: build.Experiment,
    config: build.Config,
    workdir: pathlib.Path,
    batch: tuple[str, str],
    *,
    must_exist: bool = False,
) -> Trained:
    """Reads the newest checkpoint, or draws parameters; raises ValueError before writing."""
    if workdir.exists() and not (workdir.is_dir() and os.access(workdir, os.W_OK)):
        raise ValueError(
            f"--workdir {workdir} is not a folder that can be written to; name another."
        )
    mesh = sharding.device_mesh()
    section, name = batch
    sharding.check_divisible(f"config.{section}.{name}", config[section][name], mesh)
    key = jax.random.key(config.training.seed)
    fresh = partial(_fresh_state, experiment)
    shapes = jax.eval_shape(fresh, key)
    size = sum(leaf.size for leaf in jax.tree.leaves(shapes.params))
    _say(f"{config.model.name}, {size:,} parameters; {config.sde.name} SDE; {config.data.name}")
    checkpoints = training.Checkpoints(
        workdir / "checkpoints", keep=config.training.keep_checkpoints
    )
    start = checkpoints.latest_step()
    if start is None:
        if must_exist:
            raise ValueError(
                f"{workdir} has no checkpoint; train first, with the same command and "
                "--mode train, or name another --workdir."
            )
        state = jax.jit(fresh, out_shardings=sharding.replicated(mesh))(key)
        return Trained(mesh, checkpoints, state, 0, {"next_index": 0})
    meta = checkpoints.meta(start)
    _check_same_model(config, meta["config"], workdir)
    state = checkpoints.restore(start, shapes, sharding.replicated(mesh))
    return Trained(mesh, checkpoints, state, start, meta["data"])


def _fresh_state(experiment: build.Experiment, key: Array) -> training.TrainState:
    return training.create(experiment.init_params(key), experiment.optimizer)


def _chunk_end(step: int, section: build.Config) -> int:
    """Where the chunk that begins at `step` ends: the next multiple of any interval.

    Absolute multiples: a resumed run cuts its steps as one that was never stopped.
    """
    names = ("n_jitted_steps", "log_every", "eval_every", "checkpoint_every", "snapshot_every")
    return min(section.steps, *((step // section[n] + 1) * section[n] for n in names))


def _stack(batches: Iterator[dict[str, np.ndarray]], count: int, size: int) -> np.ndarray:
    """`count` batches of images, filled up with the last to `size`: (size, B, H, W, C)."""
    images = [next(batches)["image"] for _ in range(count)]
    return np.stack(images + images[-1:] * (size - count))


def _check_same_model(config: build.Config, stored: dict[str, Any], workdir: pathlib.Path) -> None:
    """Raises ValueError if the workdir's checkpoint is of another model."""
    ours = files.plain(config.to_dict())
    changed = [
        f"config.{section}.{key} is {ours[section].get(key)!r}, was {stored[section].get(key)!r}"
        for section in MODEL_SECTIONS
        for key in sorted(ours[section].keys() | stored[section].keys())
        if ours[section].get(key) != stored[section].get(key) and key != "data_dir"
    ]
    if changed:
        raise ValueError(
            f"{workdir} holds a checkpoint of another model: {'; '.join(changed)}. "
            "Name another --workdir, or go back to those settings."
        )


class _user_errors:
    """Turns ValueErrors of what is checked before a run into messages for the user."""

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        if isinstance(error, ValueError):
            raise UserError(str(error)) from error


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)
