"""The verbs of main.py: train, train_dequantizer, evaluate, sample, sweep, import, export.

Loops and files; the maths is in scoresde_jax.

Every verb first builds the whole experiment, so that a mistake costs no compilation and nothing is
written; files are written under a temporary name and renamed.
"""

import pathlib
import sys
from collections.abc import Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from scoresde_jax import (
    build,
    data,
    encodings,
    evaluation,
    files,
    interop,
    programs,
    reports,
    scoring,
    sharding,
    shards,
    sweeps,
    tasks,
    training,
    workdirs,
)
from scoresde_jax.data import preprocess
from scoresde_jax.progress import Progress
from scoresde_jax.tables import lookup

SAMPLING_ADVICE = {
    "ode": "raise config.sampling.ode.max_steps, or loosen config.sampling.ode.rtol and .atol",
    "pc": "lower config.sampling.pc.snr, or raise config.sampling.pc.steps",
    "grid": "raise config.sampling.grid.steps, or choose another .solver or .times",
    "adaptive": "raise config.sampling.adaptive.max_steps, or loosen .rtol and .atol",
}


class UserError(ValueError):
    """The user's mistake: what was expected, what came, what to do. Nothing was written."""


def run(
    config: build.Config,
    *,
    mode: str,
    workdir: str | pathlib.Path,
    num_samples: int,
    source: str | pathlib.Path = "",
) -> int:
    """Runs one verb in a workdir; returns the exit code.

    Args:
      mode: one of the verbs below.
      num_samples: for "sample".
      source: for "import".

    Raises:
      UserError: config, data or workdir do not fit.
      RunError: training diverged.
    """
    verbs = {
        "train": train,
        "train_dequantizer": train_dequantizer,
        "eval": evaluate,
        "sample": partial(sample, num_samples=num_samples),
        "sweep": sweep,
        "import": partial(import_weights, source=source),
        "export": export_weights,
    }
    return verbs[mode](build.resolve(config), pathlib.Path(workdir))


def command(config: build.Config, **arguments: Any) -> int:
    """`run` for a command line: what goes wrong is one message; returns the exit code."""
    try:
        return run(config, **arguments)
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
    with _user_errors():
        experiment = build.experiment(config)
        train_set, test_set = (build.dataset(config, split) for split in ("train", "test"))
        task, mesh = tasks.score_task(experiment, config), _mesh(config, "training")
        run = _open(task, config, workdir, mesh)
    snapshot = reports.sample_snapshot(experiment, config, mesh, workdir)
    return _train(task, config, run, workdir, train_set, test_set, snapshot)


def train_dequantizer(config: build.Config, workdir: pathlib.Path) -> int:
    """Trains the flow that dequantizes, for the score network of the workdir, which stays as it is.

    Writes what `train` writes, but for samples, into <workdir>/dequantizer.
    """
    with _user_errors():
        experiment = build.experiment(config)
        train_set, test_set = (build.dataset(config, split) for split in ("train", "test"))
        mesh = _mesh(config, "dequantizer_training")
        scores = _open(tasks.score_task(experiment, config), config, workdir, mesh, must_exist=True)
        task = tasks.dequantizer_task(experiment, config, scores.state.ema_params)
        folder = workdir / "dequantizer"
        run = _open(task, config, folder, mesh)
    code = _train(task, config, run, folder, train_set, test_set, reports.no_snapshot)
    if code == 0:
        _say(
            "score images with it: --mode eval --config.likelihood.dequantizations=\"('learned',)\""
        )
    return code


def _train(
    task: tasks.Task,
    config: build.Config,
    run: workdirs.Trained,
    workdir: pathlib.Path,
    train_set: data.Dataset,
    test_set: data.Dataset,
    snapshot: reports.Snapshot,
) -> int:
    """The training loop: chunks of steps, and between them what is due."""
    section = task.section
    with _user_errors():
        batches = data.batches(train_set, batch_size=section.batch_size, seed=section.seed)
        if run.start > section.steps:
            raise ValueError(
                f"{workdir} is trained to step {run.start} already, beyond "
                f"config.{task.where}.steps {section.steps}; raise it, or name another --workdir."
            )
    batches.set_state(run.position)
    if run.start:
        _say(f"going on from step {run.start} of {workdir}")
    resolved = config.to_dict()
    files.write_json(workdir / "config.json", resolved)
    records = training.Records(workdir, start=run.start)
    progress = Progress(task.name, section.steps, start=run.start, unit="step")
    due = reports.Reports(task, run.mesh, records, progress, test_set, snapshot)
    step, state, metrics = run.start, run.state, {}
    with training.StopSignals() as stop:
        advance = programs.training_program(task, run.mesh)
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
    _say(f"peak memory {sharding.peak_bytes() / 1e9:.2f} GB")
    if stop.received:
        saved = "checkpoint saved" if step > run.start else "nothing new to save"
        _say(f"stopped at step {step}; {saved}. The same command goes on from there.")
        return 128 + stop.received
    return 0


def evaluate(config: build.Config, workdir: pathlib.Path) -> int:
    """Scores the test set with the averaged parameters: bits/dim of flow and bound, and the loss.

    Writes eval/results.json, eval/bpd.npz and eval/bpd.png; an interrupted evaluation goes on from
    the last piece in eval/pieces. Returns 1 if an ODE did not converge.
    """
    with _user_errors():
        experiment = build.experiment(config)
        test_set = build.dataset(config, "test")
        mesh = _mesh(config, "likelihood")
        run = _open(tasks.score_task(experiment, config), config, workdir, mesh, must_exist=True)
        flow: list[workdirs.Trained] = []  # opened only if it is asked for

        def learned_params() -> Any:
            task = tasks.dequantizer_task(experiment, config, run.state.ema_params)
            flow.append(_open(task, config, workdir / "dequantizer", mesh, must_exist=True))
            return flow[0].state.ema_params

        dequantizers = build.dequantizers(
            config, experiment.sde, experiment.data_scale, learned_params
        )
    images = test_set.images
    scorer = scoring.Scorer(experiment, run.state.ema_params, config, mesh, dequantizers)
    progress = Progress("eval", len(images) * len(dequantizers), unit="image")
    pieces = workdir / "eval" / "pieces"
    columns = shards.collect(
        pieces,
        len(images),
        lambda index: scorer.columns(images[index], index, progress),
        size=config.likelihood.images_per_piece,
        work={
            "checkpoint_step": run.start,
            "dequantizer_step": flow[0].start if flow else None,
            "devices": mesh.size,
            "config": config.to_dict(),
        },
    )
    progress.close()
    results = {"checkpoint_step": run.start, **scoring.results(columns, config)}
    files.write_npz(workdir / "eval" / "bpd.npz", columns)
    files.write_json(workdir / "eval" / "results.json", results)
    shards.discard(pieces)
    figure, failed = workdir / "eval" / "bpd.png", results["not_converged"]
    if failed:
        figure.unlink(missing_ok=True)
        _say(f"the ODE did not converge at indices {failed}; the mean is null")
        _say("raise config.likelihood.max_steps, or loosen config.likelihood.rtol and .atol")
        return 1
    pixels = preprocess.to_uint8(jnp.asarray(images) / (test_set.levels - 1))
    title = f"{config.data.name} test set, step {run.start}"
    bpd = columns[f"{next(iter(dequantizers))}/bpd"]
    evaluation.bpd_figure(figure, bpd, np.asarray(pixels), title=title)
    print("\n".join(scoring.lines(results)))
    return 0


def sample(config: build.Config, workdir: pathlib.Path, *, num_samples: int) -> int:
    """Draws images with the averaged parameters and the sampler of config.sampling.

    Writes samples/<method>_<step>.npz ("samples" uint8 (N, H, W, C), "nfe", "converged") and a PNG
    grid of the same name; with config.sampling.latents "interpolation" or "reconstruction", what
    the flow makes of the first test images, N of them, under that name. Returns 1 if an ODE did not
    converge or an image is not finite.
    """
    section = config.sampling
    if section.latents != "prior":
        return _encode(config, workdir, num_samples=num_samples)
    with _user_errors():
        experiment = build.experiment(config)
        task = tasks.score_task(experiment, config)
        run = _open(task, config, workdir, _mesh(config, "sampling"), must_exist=True)
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


def _encode(config: build.Config, workdir: pathlib.Path, *, num_samples: int) -> int:
    """`sample` of latents that test images have; (rows, columns, H, W, C) are its "samples"."""
    name = config.sampling.latents
    with _user_errors():
        where = "config.sampling.latents"
        strips = lookup({"prior": None, **encodings.LATENTS}, name, where)
        experiment = build.experiment(config)
        test_set = build.dataset(config, "test")
        task = tasks.score_task(experiment, config)
        run = _open(task, config, workdir, _mesh(config, "sampling"), must_exist=True)
        images = test_set.images[:num_samples]
        if len(images) < num_samples or (name == "interpolation" and num_samples % 2):
            raise ValueError(
                f"--num_samples is {num_samples}: {name} takes test images, of which there are "
                f"{len(test_set.images)}, and interpolation takes them in pairs."
            )
    found = strips(experiment, run.state.ema_params, images, config.sampling.seed, run.mesh)
    target = workdir / "samples" / f"{name}_{run.start}.npz"
    columns = {"samples": found.pixels, "nfe": found.nfe, "converged": found.converged}
    files.write_npz(target, columns)
    across = found.pixels.shape[1] if name == "interpolation" else 2 * (len(images) // 8 or 1)
    grid = found.pixels.reshape(-1, *found.pixels.shape[2:])
    evaluation.save_png(target.with_suffix(".png"), evaluation.image_grid(grid, columns=across))
    print(f"{name} of {len(images)} test images: {target.with_suffix('.png')}")
    failed = np.flatnonzero(~found.converged.all(axis=1))
    if failed.size:
        _say(f"the ODE did not converge in rows {failed.tolist()}; those images are black")
        _say(SAMPLING_ADVICE["ode"])
        return 1
    return 0


def sweep(config: build.Config, workdir: pathlib.Path) -> int:
    """Compares samplers and budgets: quality against evaluations of the network.

    Writes sweep/results.json, sweep/table.md and sweep/sweep.png.
    """
    with _user_errors():
        experiment = build.experiment(config)
        train_set, test_set = (build.dataset(config, split) for split in ("train", "test"))
        todo = sweeps.trials(experiment, config)
        mesh = _mesh(config, "sampling")
        task = tasks.score_task(experiment, config)
        run = _open(task, config, workdir, mesh, must_exist=True)
    images = run.state.ema_params, mesh, train_set, test_set
    results = sweeps.run(todo, experiment, config, *images)
    results |= {"checkpoint_step": run.start, "config": config.to_dict()}
    folder = workdir / "sweep"
    files.write_json(folder / "results.json", results)
    table = sweeps.table(results)
    files.write(folder / "table.md", lambda stream: stream.write(table.encode()))
    evaluation.sweep_figure(
        folder / "sweep.png",
        results["rows"],
        real=results["real_images"]["frechet_distance"],
        title=f"{config.data.name}, {config.sde.name} SDE, {config.sweep.images} images",
    )
    print(f"{table}{folder / 'sweep.png'}")
    return 0


def import_weights(
    config: build.Config, workdir: pathlib.Path, *, source: str | pathlib.Path
) -> int:
    """Makes a workdir of a file of weights, for the other verbs to go on from.

    Writes config.json and a checkpoint, as training does. docs/weights.md has the formats.
    """
    with _user_errors():
        experiment = build.experiment(config)
        workdirs.check_new(workdir)
        task = tasks.score_task(experiment, config)
        workdirs.check_same_model(
            config,
            interop.stored_config(source),
            task.meaning,
            f"{source} holds weights",
            "Choose the config, variant and options it was exported with.",
        )
        shapes = interop.parameter_shapes(experiment.init_params)
        weights = interop.read_weights(source, shapes)
    state = training.resumed(
        task.optimizer,
        step=weights.step,
        params=weights.params,
        ema_params=weights.ema_params,
        count=weights.count,
        mu=weights.mu,
        nu=weights.nu,
    )
    # As if the steps had been made here: a step takes one batch.
    workdirs.begin(workdir, state, config=config.to_dict(), data={"next_index": weights.step})
    for what in weights.lacks:
        _say(f"{source} has no {what}")
    print(
        f"imported {weights.origin}, step {weights.step}, "
        f"{_parameter_count(weights.params):,} parameters, into {workdir}; "
        f"it has {', '.join(weights.found)}"
    )
    return 0


def export_weights(config: build.Config, workdir: pathlib.Path) -> int:
    """Writes the newest state as export/params_<step>.safetensors, which import takes back."""
    with _user_errors():
        experiment = build.experiment(config)
        task = tasks.score_task(experiment, config)
        run = _open(task, config, workdir, sharding.device_mesh(), must_exist=True)
    state = jax.device_get(run.state)
    count, mu, nu = training.adam_moments(state)
    weights = interop.Weights(run.start, state.params, state.ema_params, count, mu, nu)
    target = workdir / "export" / f"params_{run.start}.safetensors"
    interop.write_weights(target, weights, config=config.to_dict())
    print(f"exported step {run.start}: {target}")
    return 0


def _open(
    task: tasks.Task,
    config: build.Config,
    workdir: pathlib.Path,
    mesh: jax.sharding.Mesh,
    *,
    must_exist: bool = False,
) -> workdirs.Trained:
    """The newest state of the workdir, or a fresh one; says of what model."""
    run = workdirs.open_run(task, config, workdir, mesh, must_exist=must_exist)
    size = _parameter_count(run.state.params)
    _say(f"{task.title}, {size:,} parameters; {config.sde.name} SDE; {config.data.name}")
    return run


def _parameter_count(params: Any) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def _mesh(config: build.Config, section: str) -> jax.sharding.Mesh:
    """All devices, between which the batches of a section are split evenly."""
    mesh = sharding.device_mesh()
    name, batch_size = f"config.{section}.batch_size", config[section].batch_size
    parts = config[section].get("microbatches", 1)
    if parts > 1:
        name, batch_size = f"{name} / microbatches", batch_size // parts
    sharding.check_divisible(name, batch_size, mesh)
    return mesh


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


class _user_errors:
    """Turns ValueErrors of what is checked before a run into messages for the user."""

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        if isinstance(error, ValueError):
            raise UserError(str(error)) from error


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)
