"""Training loops: of the score network, of the flow that dequantizes for it, and of a guide."""

import contextlib
import pathlib
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

from scoresde_jax import (
    build,
    data,
    evaluation,
    files,
    programs,
    recognition,
    reports,
    sharding,
    tasks,
    training,
    workdirs,
)
from scoresde_jax.progress import Progress
from scoresde_jax.verbs.common import mesh_of, open_run, say, user_errors


def train(config: build.Config, workdir: pathlib.Path) -> int:
    """Trains to config.training.steps, from the newest checkpoint of the workdir if it has one.

    Writes config.json, metrics.jsonl, tensorboard/, checkpoints/, training.png and
    samples/snapshot_<step>.png. SIGINT and SIGTERM save a checkpoint first.
    """
    with user_errors():
        experiment = build.experiment(config)
        train_set, test_set = (build.dataset(config, split) for split in ("train", "test"))
        task, mesh = tasks.score_task(experiment, config), mesh_of(config, "training")
        run = open_run(task, config, workdir, mesh)
    snapshot = reports.sample_snapshot(experiment, config, mesh, workdir)
    return _train(task, config, run, workdir, train_set, test_set, snapshot)


def train_dequantizer(config: build.Config, workdir: pathlib.Path) -> int:
    """Trains the flow that dequantizes, for the score network of the workdir, which stays as it is.

    Writes what `train` writes, but for samples, into <workdir>/dequantizer.
    """
    with user_errors():
        experiment = build.experiment(config)
        train_set, test_set = (build.dataset(config, split) for split in ("train", "test"))
        mesh = mesh_of(config, "dequantizer_training")
        scores = open_run(
            tasks.score_task(experiment, config), config, workdir, mesh, must_exist=True
        )
        task = tasks.dequantizer_task(experiment, config, scores.state.ema_params)
        folder = workdir / "dequantizer"
        run = open_run(task, config, folder, mesh)
    code = _train(task, config, run, folder, train_set, test_set, reports.no_snapshot)
    if code == 0:
        say(
            "score images with it: --mode eval --config.likelihood.dequantizations=\"('learned',)\""
        )
    return code


def train_classifier(config: build.Config, workdir: pathlib.Path) -> int:
    """Trains the classifier of noisy images that guides; needs no score network.

    Writes what `train` writes, but for samples, into <workdir>/classifier, and accuracy.json and
    accuracy.png there: how often it is right, by time.
    """
    with user_errors():
        experiment = build.experiment(config)
        train_set, test_set = (build.dataset(config, split) for split in ("train", "test"))
        build.check_labels(train_set, config.guide.classes, "config.guide.classes")
        task, mesh = tasks.guide_task(experiment, config), mesh_of(config, "guide_training")
        folder = workdir / "classifier"
        run = open_run(task, config, folder, mesh)
    code = _train(task, config, run, folder, train_set, test_set, reports.no_snapshot)
    if code:
        return code
    run = open_run(task, config, folder, mesh, must_exist=True)
    found = recognition.accuracy(experiment, config, run.state.ema_params, test_set, mesh)
    files.write_json(folder / "accuracy.json", files.plain({"step": run.start, **found}))
    title = f"{task.title}, {len(test_set.images)} test images"
    evaluation.accuracy_figure(folder / "accuracy.png", found, title=title)
    print("\n".join(recognition.lines(found)))
    say("guide with it: --mode sample --config.sampling.guidance.method=classifier")
    return 0


def _train(
    task: tasks.Task,
    config: build.Config,
    run: workdirs.Trained,
    workdir: pathlib.Path,
    train_set: data.Dataset,
    test_set: data.Dataset,
    snapshot: reports.Snapshot,
) -> int:
    """The training loop: chunks of steps, and between them what is due.

    Of several processes each reads its own rows of every batch, and the first writes the files; the
    others keep records in a folder that is thrown away.
    """
    section, resolved = task.section, config.to_dict()
    batches = _batches(task, config, run, workdir, train_set)
    with contextlib.ExitStack() as stack:
        own = workdir
        if jax.process_index():
            own = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        files.write_json(own / "config.json", resolved)
        records = training.Records(own, start=run.start)
        progress = Progress(task.name, section.steps, start=run.start, unit="step")
        due = reports.Reports(task, run.mesh, records, progress, test_set, snapshot)
        step, state, metrics = run.start, run.state, {}
        stop = stack.enter_context(training.StopSignals())
        advance = programs.training_program(task, run.mesh)

        def save(position: dict[str, Any]) -> None:
            due.check_finite(step, metrics)
            run.checkpoints.save(state, config=resolved, data=position)

        while step < section.steps and not sharding.agreed(stop.received):
            end = chunk_end(step, section)
            position = batches.get_state()
            try:
                chunk = _stack(batches, end - step, section.n_jitted_steps, task.columns)
            except (data.CorruptImage, data.UnsuitableImage):
                if step > run.start and jax.process_count() == 1:  # others cannot know of it
                    save(position)
                    run.checkpoints.close()
                    say(f"stopped at step {step}; checkpoint saved.")
                for resource in (progress, records, batches):
                    resource.close()
                raise
            chunk = sharding.of_all_processes(chunk, run.mesh, axis=1)
            state, metrics = advance(state, chunk, end - step)
            step = end
            due.report(step, state, metrics)
            last = step % section.checkpoint_every == 0 or step == section.steps
            if last or sharding.agreed(stop.received):
                save(batches.get_state())
            due.snapshot(step, state)
        stopped = sharding.agreed(stop.received)
        if stopped and step > run.start:  # a signal may have come after the save was decided
            save(batches.get_state())
        for resource in (progress, records, batches, run.checkpoints):
            resource.close()  # waits for the last checkpoint
        evaluation.training_figure(own / "training.png", training.read_records(own))
    say(f"peak memory {sharding.peak_bytes() / 1e9:.2f} GB")
    if stopped and step < section.steps:
        saved = "checkpoint saved" if step > run.start else "nothing new to save"
        say(f"stopped at step {step}; {saved}. The same command goes on from there.")
        return 128 + stopped
    return 0


def _batches(
    task: tasks.Task,
    config: build.Config,
    run: workdirs.Trained,
    workdir: pathlib.Path,
    train_set: data.Dataset,
) -> data.Batches:
    """This process's rows of every batch, from where the run is on; says where that is."""
    section = task.section
    with user_errors():
        batches = data.batches(
            train_set,
            batch_size=section.batch_size,
            seed=section.seed,
            workers=config.data.workers,
            process_index=jax.process_index(),
            process_count=jax.process_count(),
        )
        if run.start > section.steps:
            raise ValueError(
                f"{workdir} is trained to step {run.start} already, beyond "
                f"config.{task.where}.steps {section.steps}; raise it, or name another --workdir."
            )
    batches.set_state(run.position)
    if run.start:
        say(f"going on from step {run.start} of {workdir}")
    return batches


def chunk_end(step: int, section: build.Config) -> int:
    """Where the chunk that begins at `step` ends: the next multiple of any interval.

    Absolute multiples: a resumed run cuts its steps as one that was never stopped.
    """
    names = ("n_jitted_steps", "log_every", "eval_every", "checkpoint_every", "snapshot_every")
    return min(section.steps, *((step // section[n] + 1) * section[n] for n in names))


def _stack(
    batches: Iterator[dict[str, np.ndarray]], count: int, size: int, columns: Callable
) -> Any:
    """What is taken of `count` batches, filled up with the last to `size`: (size, B, ...) each."""
    taken = [columns(next(batches)) for _ in range(count)]
    filled = taken + taken[-1:] * (size - count)
    return jax.tree.map(lambda *parts: np.stack(parts), *filled)
