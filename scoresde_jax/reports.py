"""What a training run tells its user, and when: metrics, evaluation loss, sample grids."""

import contextlib
import errno
import math
import pathlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from scoresde_jax import build, data, evaluation, files, programs, sharding, training
from scoresde_jax.progress import Progress
from scoresde_jax.tasks import Task
from scoresde_jax.types import Array

Snapshot = Callable[[int, Any], None]  # (step, averaged parameters): draws pictures of them


class RunError(RuntimeError):
    """A run that cannot go on, for a reason found while it ran."""


@contextlib.contextmanager
def disk_errors() -> Iterator[None]:
    """Turns a disk without room into a message: files are whole or absent, and gone on with.

    Raises:
      RunError: for an OSError that says so.
    """
    try:
        yield
    except files.NoRoom as error:
        raise RunError(str(error)) from error
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise RunError(
            f"the disk is full: {error}. What was written before is whole. Make room, and the same "
            "command goes on from there."
        ) from error


@contextlib.contextmanager
def data_errors() -> Iterator[None]:
    """Turns an image that cannot be used, met only when it was decoded, into a message.

    Raises:
      RunError: it names the image and says what to do.
    """
    try:
        yield
    except (data.CorruptImage, data.UnsuitableImage) as error:
        raise RunError(explained(error)) from error


def explained(error: ValueError) -> str:
    """What an error says, and of a corrupt image, which does not know of configs, what to do."""
    if isinstance(error, data.CorruptImage):
        return f"{error}\nReplace it, or leave corrupt images out: config.data.on_corrupt=skip."
    return str(error)


class Reports:
    """What training says, and when: metrics, evaluation loss, snapshots."""

    def __init__(
        self,
        task: Task,
        mesh: Mesh,
        records: training.Records,
        progress: Progress,
        test_set: data.Dataset,
        snapshot: Snapshot,
    ):
        """Compiles nothing yet; `records` says where the run starts."""
        self._task, self._section, self._snapshot = task, task.section, snapshot
        self._records, self._progress = records, progress
        self._clock, self._clock_step = time.monotonic(), records.start
        images, keys = _fixed_batch(task.section, test_set)
        batch = task.columns({"image": images, "label": test_set.labels[: len(images)]})
        batch, keys, fixed = sharding.copied((batch, keys, task.fixed), mesh)
        loss = jax.jit(lambda f, p, k, x: jnp.mean(task.eval_loss(f, p, k, x)))
        self._eval_loss = lambda params: float(loss(fixed, params, keys, batch))

    def report(self, step: int, state: training.TrainState, metrics: dict[str, Array]) -> None:
        """Writes down the numbers that are due at this step."""
        section = self._section
        last = step == section.steps
        values = {}
        if step % section.log_every == 0 or last:
            values = self.check_finite(step, metrics)
            now = time.monotonic()
            images = (step - self._clock_step) * section.batch_size
            values["learning_rate"] = np.asarray(self._task.learning_rate(step - 1)).item()
            values["images_per_second"] = images / max(now - self._clock, 1e-9)
            self._clock, self._clock_step = now, step
        if step % section.eval_every == 0 or last:
            began = time.monotonic()
            values["eval_loss"] = self._eval_loss(state.ema_params)
            self._clock += time.monotonic() - began  # evaluating is not training
        if values:
            self._records.write(step, values)
        note = f"loss {values['loss']:.4f}" if "loss" in values else ""
        self._progress.update(step, f"{note} {self._speed(values)}".strip())

    def snapshot(self, step: int, state: training.TrainState) -> None:
        """Draws pictures if they are due: also at the end, but of runs of a few steps."""
        section = self._section
        last = step == section.steps and step > section.snapshot_every
        if step % section.snapshot_every and not last:
            return
        self._progress.update(step, "drawing")
        self._snapshot(step, state.ema_params)
        self._clock, self._clock_step = time.monotonic(), step  # drawing is not training

    def check_finite(self, step: int, metrics: dict[str, Array]) -> dict[str, float]:
        """The metrics as numbers; RunError if one is not finite."""
        values = {name: np.asarray(jax.device_get(value)).item() for name, value in metrics.items()}
        if not all(map(math.isfinite, values.values())):
            raise RunError(
                f"training diverged: {values} at step {step}. Checkpoints before it are whole; "
                f"lower {self._task.learning_rate_key} and run the same command again."
            )
        return values

    def _speed(self, values: dict[str, float]) -> str:
        speed = values.get("images_per_second")
        return f"{speed:.0f} images/s" if speed else ""


def no_snapshot(step: int, params: Any) -> None:
    """Draws nothing: of a network whose output is nothing to look at."""
    del step, params


def sample_snapshot(
    experiment: build.Experiment, config: build.Config, mesh: Mesh, workdir: pathlib.Path
) -> Snapshot:
    """Draws a grid of samples into samples/snapshot_<step>.png, from noise that stays the same."""
    shown = config.training.snapshot_images
    draw = programs.sampling_program(experiment, sharding.round_up(shown, mesh), mesh)
    key = sharding.copied(jax.random.key(config.sampling.seed), mesh)

    def snapshot(step: int, params: Any) -> None:
        pixels, _, _ = sharding.fetched(draw(params, key))
        grid = evaluation.image_grid(pixels[:shown])
        if jax.process_index() == 0:
            evaluation.save_png(workdir / "samples" / f"snapshot_{step}.png", grid)

    return snapshot


def _fixed_batch(section: build.Config, test_set: data.Dataset) -> tuple[np.ndarray, Array]:
    """The first images of the test set with keys that never change: losses compare."""
    images = test_set.images[: section.batch_size]
    return images, jax.random.split(jax.random.key(section.seed + 1), len(images))
