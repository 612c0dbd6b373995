"""The verbs of main.py: train, evaluate, sample. Loops and files; the maths is in scoresde_jax.

Every verb first builds the whole experiment, so that a mistake costs no compilation and nothing is
written; files are written under a temporary name and renamed.
"""

import math
import pathlib
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from scoresde_jax import build, data, evaluation, files, likelihood, sharding, training
from scoresde_jax.progress import Progress
from scoresde_jax.types import Array

# Sections that give a checkpoint's parameters their meaning; in one workdir they stay the same.
MODEL_SECTIONS = ("sde", "parameterization", "model", "data")
# Purposes of the keys of an example: fold_in(fold_in(key, purpose), index in the data set).
DEQUANTIZE, PROBE, LOSS = range(3)


class UserError(ValueError):
    """The user's mistake: what was expected, what came, what to do. Nothing was written."""


class RunError(RuntimeError):
    """A run that cannot go on, for a reason found while it ran."""


class Trained(NamedTuple):
    """A config made real, with the newest state of its workdir, or a fresh one."""

    experiment: build.Experiment
    mesh: jax.sharding.Mesh
    checkpoints: training.Checkpoints
    state: training.TrainState
    start: int  # the state's step
    position: dict[str, Any]  # in the data


def run(config: ConfigDict, *, mode: str, workdir: str | pathlib.Path, num_samples: int) -> int:
    """Runs one verb, "train", "eval" or "sample", in a workdir; returns the exit code.

    Raises:
      UserError: config, data or workdir do not fit.
      RunError: training diverged.
    """
    verbs = {"train": train, "eval": evaluate, "sample": partial(sample, num_samples=num_samples)}
    return verbs[mode](build.resolve(config), pathlib.Path(workdir))


def default_workdir(config_file: str) -> pathlib.Path:
    """runs/<sde>-<dataset>-<variant> for configs/<sde>/<dataset>.py:<variant>."""
    file, _, variant = config_file.partition(":")
    path = pathlib.Path(file)
    return pathlib.Path("runs") / f"{path.resolve().parent.name}-{path.stem}-{variant or 'default'}"


def train(config: ConfigDict, workdir: pathlib.Path) -> int:
    """Trains to config.training.steps, from the newest checkpoint of the workdir if it has one.

    Writes config.json, metrics.jsonl, tensorboard/, checkpoints/, training.png and
    samples/snapshot_<step>.png. SIGINT and SIGTERM save a checkpoint first.
    """
    section = config.training
    with _user_errors():
        run = _open(config, workdir, ("training", "batch_size"))
        train_set = build.dataset(config, "train")
        test_set = build.dataset(config, "test")
    if run.start:
        _say(f"going on from step {run.start} of {workdir}")
    resolved = config.to_dict()
    files.write_json(workdir / "config.json", resolved)
    batches = data.batches(train_set, batch_size=section.batch_size, seed=section.seed)
    batches.set_state(run.position)
    records = training.Records(workdir, start=run.start)
    progress = Progress("train", section.steps, start=run.start, unit="step")
    every = _Reports(run, config, workdir, records, progress, test_set)
    step, state = run.start, run.state
    with training.StopSignals() as stop:
        advance = _training_function(run, config)
        while step < section.steps and not stop.received:
            end = _chunk_end(step, section)
            chunk = _stack(batches, end - step, section.n_jitted_steps)
            state, metrics = advance(state, chunk, end - step)
            step = end
            every.report(step, state, metrics)
            if step % section.checkpoint_every == 0 or step == section.steps or stop.received:
                every.check_finite(step, metrics)
                run.checkpoints.save(state, config=resolved, data=batches.get_state())
    for resource in (progress, records, run.checkpoints):
        resource.close()
    evaluation.training_figure(workdir / "training.png", training.read_records(workdir))
    if stop.received:
        _say(f"stopped at step {step}; checkpoint saved. The same command goes on from there.")
        return 128 + stop.received
    return 0


def evaluate(config: ConfigDict, workdir: pathlib.Path) -> int:
    """Scores the test set with the averaged parameters: loss, and bits/dim with its error.

    Writes eval/results.json, eval/bpd.npz and eval/bpd.png. Returns 1 if an ODE did not converge.
    """
    with _user_errors():
        run = _open(config, workdir, ("likelihood", "batch_size"), needs_checkpoint=True)
        test_set = build.dataset(config, "test")
    columns = _score(run, config, test_set)
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
    if failed:
        _say(f"the ODE did not converge for {len(failed)} images, at indices {failed}; mean is null")
        _say("raise config.likelihood.max_steps, or loosen config.likelihood.rtol and .atol")
        return 1
    pixels = np.asarray(test_set.images * (255 // (test_set.levels - 1)), np.uint8)
    title = f"{config.data.name} test set, step {run.start}"
    evaluation.bpd_figure(workdir / "eval" / "bpd.png", bpd, pixels, title=title)
    print(f"bits/dim {mean:.4f} +- {error:.4f} on {len(bpd)} images, loss {loss:.4f}")
    return 0


def sample(config: ConfigDict, workdir: pathlib.Path, *, num_samples: int) -> int:
    """Draws images with the averaged parameters and the sampler of config.sampling.

    Writes samples/<method>_<step>.npz ("samples" uint8 (N, H, W, C), "nfe", "converged") and a PNG
    grid of the same name. Returns 1 if an ODE did not converge.
    """
    section = config.sampling
    with _user_errors():
        run = _open(config, workdir, ("sampling", "batch_size"), needs_checkpoint=True)
    draw = _sampling_function(run, section.batch_size)
    key = jax.random.key(section.seed)
    progress = Progress("sample", num_samples, unit="image")
    parts = []
    for first in range(0, num_samples, section.batch_size):
        key_of_batch = jax.random.fold_in(key, first // section.batch_size)
        parts.append(jax.device_get(draw(run.state.ema_params, key_of_batch)))
        progress.update(min(first + section.batch_size, num_samples))
    progress.close()
    names = ("samples", "nfe", "converged")
    columns = {n: np.concatenate(p)[:num_samples] for n, p in zip(names, zip(*parts), strict=True)}
    target = workdir / "samples" / f"{section.method}_{run.start}.npz"
    files.write_npz(target, columns)
    evaluation.save_png(target.with_suffix(".png"), evaluation.image_grid(columns["samples"]))
    print(f"{num_samples} images, {columns['nfe'].mean():.0f} evaluations each: {target}")
    failed = np.flatnonzero(~columns["converged"])
    if failed.size:
        _say(f"the ODE did not converge for images {failed.tolist()}; they are black")
        _say("raise config.sampling.ode.max_steps, or loosen config.sampling.ode.rtol and .atol")
        return 1
    return 0


def _open(
    config: ConfigDict,
    workdir: pathlib.Path,
    batch: tuple[str, str],
    *,
    needs_checkpoint: bool = False,
) -> Trained:
    """Builds the experiment and reads the newest checkpoint; raises ValueError before writing."""
    experiment = build.experiment(config)
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
        if needs_checkpoint:
            raise ValueError(
                f"{workdir} has no checkpoint; train first, with the same command and "
                "--mode train, or name another --workdir."
            )
        build.dataset(config, "train")  # missing data are said before anything is compiled
        state = jax.jit(fresh, out_shardings=sharding.replicated(mesh))(key)
        return Trained(experiment, mesh, checkpoints, state, 0, {"next_index": 0})
    meta = checkpoints.meta(start)
    _check_same_model(config, meta["config"], workdir)
    state = checkpoints.restore(start, shapes, sharding.replicated(mesh))
    return Trained(experiment, mesh, checkpoints, state, start, meta["data"])


def _fresh_state(experiment: build.Experiment, key: Array) -> training.TrainState:
    return training.create(experiment.init_params(key), experiment.optimizer)


def _training_function(run: Trained, config: ConfigDict) -> Callable:
    """(state, stacked batches, count) -> (state, metrics), compiled once."""
    everywhere = sharding.replicated(run.mesh)
    step_fn = jax.jit(
        partial(
            training.train_steps,
            loss_fn=run.experiment.train_loss,
            tx=run.experiment.optimizer,
            ema_decay=config.training.ema_decay,
        ),
        donate_argnums=0,
        out_shardings=everywhere,
    )
    key = jax.device_put(jax.random.key(config.training.seed), everywhere)

    def advance(state, chunk, count):
        chunk = jax.device_put(chunk, sharding.batch_sharded(run.mesh, axis=1))
        count = jax.device_put(np.int32(count), everywhere)
        with jax.transfer_guard("disallow"):
            return step_fn(state, key, chunk, count)

    return advance


def _sampling_function(run: Trained, count: int) -> Callable:
    """(params, key) -> pixels (count, H, W, C) uint8, nfe, converged; compiled once."""
    experiment = run.experiment

    def draw(params, key):
        shape = (count, *experiment.image_shape)
        drawn = experiment.sampler(key, experiment.score_fn(params), shape)
        return experiment.to_pixels(jax.numpy.nan_to_num(drawn.x)), drawn.nfe, drawn.converged

    return jax.jit(draw, out_shardings=sharding.batch_sharded(run.mesh))


class _Reports:
    """What training says, and when: metrics, evaluation loss, snapshots."""

    def __init__(self, run: Trained, config, workdir, records, progress, test_set):
        self._run, self._config, self._workdir = run, config, workdir
        self._records, self._progress = records, progress
        self._clock, self._clock_step = time.monotonic(), run.start
        images, keys = _fixed_batch(config, test_set)
        everywhere = sharding.replicated(run.mesh)
        images, keys = jax.device_put((images, keys), everywhere)
        loss = jax.jit(lambda p, k, x: jax.numpy.mean(run.experiment.eval_loss(p, k, x)))
        self._eval_loss = lambda params: float(loss(params, keys, images))
        count = sharding.round_up(config.training.snapshot_images, run.mesh)
        self._draw = _sampling_function(run, count)

    def report(self, step: int, state: training.TrainState, metrics: dict[str, Array]) -> None:
        """Says what is due at this step."""
        section = self._config.training
        last = step == section.steps
        values = {}
        if step % section.log_every == 0 or last:
            values = self.check_finite(step, metrics)
            now = time.monotonic()
            images = (step - self._clock_step) * section.batch_size
            values["learning_rate"] = float(self._run.experiment.learning_rate(step - 1))
            values["images_per_second"] = images / max(now - self._clock, 1e-9)
            self._clock, self._clock_step = now, step
        if step % section.eval_every == 0 or last:
            values["eval_loss"] = self._eval_loss(state.ema_params)
        if values:
            self._records.write(step, values)
        note = f"loss {values['loss']:.4f}" if "loss" in values else ""
        self._progress.update(step, f"{note} {self._speed(values)}".strip())
        if step % section.snapshot_every == 0 or last:
            self._snapshot(step, state)

    def check_finite(self, step: int, metrics: dict[str, Array]) -> dict[str, float]:
        """The metrics as numbers; RunError if one is not finite."""
        values = {name: float(value) for name, value in jax.device_get(metrics).items()}
        if not all(map(math.isfinite, values.values())):
            raise RunError(
                f"training diverged: {values} at step {step}. Checkpoints before it are whole; "
                "lower config.optimizer.learning_rate and run the same command again."
            )
        return values

    def _speed(self, values: dict[str, float]) -> str:
        speed = values.get("images_per_second")
        return f"{speed:.0f} images/s" if speed else ""

    def _snapshot(self, step: int, state: training.TrainState) -> None:
        key = jax.random.key(self._config.sampling.seed)
        pixels, _, _ = jax.device_get(self._draw(state.ema_params, key))
        grid = evaluation.image_grid(pixels[: self._config.training.snapshot_images])
        evaluation.save_png(self._workdir / "samples" / f"snapshot_{step}.png", grid)


def _score(run: Trained, config: ConfigDict, test_set: data.Dataset) -> dict[str, np.ndarray]:
    """Loss, log-density and bits/dim of every test image, each once, in order."""
    experiment, section = run.experiment, config.likelihood
    dims = math.prod(experiment.image_shape)
    root = jax.random.key(section.seed)

    def one_batch(params, images, index):
        def keys(purpose: int) -> Array:
            return jax.vmap(jax.random.fold_in, (None, 0))(jax.random.fold_in(root, purpose), index)

        x = experiment.scale_eval(keys(DEQUANTIZE), images)
        density = experiment.log_likelihood(keys(PROBE), experiment.score_fn(params), x)
        return {
            "logp": density.logp,
            "logp_standard_error": density.logp_se,
            "bpd": likelihood.bits_per_dim(density.logp, dims, experiment.data_scale),
            "nfe": density.nfe,
            "converged": density.converged,
            "loss": experiment.eval_loss(params, keys(LOSS), images),
        }

    split = sharding.batch_sharded(run.mesh)
    score = jax.jit(one_batch, out_shardings=split)
    progress = Progress("eval", len(test_set.images), unit="image")
    rows = []
    for batch in data.eval_batches(test_set, section.batch_size):
        inputs = jax.device_put((batch["image"], batch["index"]), split)
        columns = jax.device_get(score(run.state.ema_params, *inputs)) | {"index": batch["index"]}
        rows.append({name: column[batch["valid"]] for name, column in columns.items()})
        progress.update(int(rows[-1]["index"][-1]) + 1)
    progress.close()
    return {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}


def _fixed_batch(config: ConfigDict, test_set: data.Dataset) -> tuple[np.ndarray, Array]:
    """The first images of the test set with keys that never change: one loss, comparable at every step."""
    images = next(data.eval_batches(test_set, config.training.batch_size))["image"]
    return images, jax.random.split(jax.random.key(config.training.seed + 1), len(images))


def _chunk_end(step: int, section: ConfigDict) -> int:
    """Where the chunk that begins at `step` ends: the next multiple of any interval.

    Absolute multiples: a resumed run cuts its steps as one that was never stopped.
    """
    names = ("n_jitted_steps", "log_every", "eval_every", "checkpoint_every", "snapshot_every")
    return min(section.steps, *((step // section[n] + 1) * section[n] for n in names))


def _stack(batches: Iterator[dict[str, np.ndarray]], count: int, size: int) -> np.ndarray:
    """`count` batches of images, filled up with the last to `size`: (size, B, H, W, C)."""
    images = [next(batches)["image"] for _ in range(count)]
    return np.stack(images + images[-1:] * (size - count))


def _check_same_model(config: ConfigDict, stored: dict[str, Any], workdir: pathlib.Path) -> None:
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
