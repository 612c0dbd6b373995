"""What a training run tells its user, and when: metrics, evaluation loss, sample grids."""

import math
import pathlib
import time

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from scoresde_jax import build, data, evaluation, programs, sharding, training
from scoresde_jax.progress import Progress
from scoresde_jax.types import Array


class RunError(RuntimeError):
    """A run that cannot go on, for a reason found while it ran."""


class Reports:
    """What training says, and when: metrics, evaluation loss, snapshots."""

    def __init__(
        self,
        experiment: build.Experiment,
        config: build.Config,
        mesh: Mesh,
        workdir: pathlib.Path,
        records: training.Records,
        progress: Progress,
        test_set: data.Dataset,
    ):
        """Compiles nothing yet; `records` says where the run starts."""
        self._experiment, self._config, self._workdir = experiment, config, workdir
        self._records, self._progress = records, progress
        self._clock, self._clock_step = time.monotonic(), records.start
        images, keys = _fixed_batch(config, test_set)
        everywhere = sharding.replicated(mesh)
        images, keys = jax.device_put((images, keys), everywhere)
        loss = jax.jit(lambda p, k, x: jnp.mean(experiment.eval_loss(p, k, x)))
        self._eval_loss = lambda params: float(loss(params, keys, images))
        count = sharding.round_up(config.training.snapshot_images, mesh)
        self._draw = programs.sampling_program(experiment, count, mesh)

    def report(self, step: int, state: training.TrainState, metrics: dict[str, Array]) -> None:
        """Writes down the numbers that are due at this step."""
        section = self._config.training
        last = step == section.steps
        values = {}
        if step % section.log_every == 0 or last:
            values = self.check_finite(step, metrics)
            now = time.monotonic()
            images = (step - self._clock_step) * section.batch_size
            values["learning_rate"] = np.asarray(self._experiment.learning_rate(step - 1)).item()
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
        """Draws a grid of samples if one is due: also at the end, but of runs of a few steps."""
        section = self._config.training
        last = step == section.steps and step > section.snapshot_every
        if step % section.snapshot_every and not last:
            return
        self._progress.update(step, f"drawing {section.snapshot_images} images")
        key = jax.random.key(self._config.sampling.seed)
        pixels, _, _ = jax.device_get(self._draw(state.ema_params, key))
        grid = evaluation.image_grid(pixels[: section.snapshot_images])
        evaluation.save_png(self._workdir / "samples" / f"snapshot_{step}.png", grid)
        self._clock, self._clock_step = time.monotonic(), step  # drawing is not training

    def check_finite(self, step: int, metrics: dict[str, Array]) -> dict[str, float]:
        """The metrics as numbers; RunError if one is not finite."""
        values = {name: np.asarray(jax.device_get(value)).item() for name, value in metrics.items()}
        if not all(map(math.isfinite, values.values())):
            raise RunError(
                f"training diverged: {values} at step {step}. Checkpoints before it are whole; "
                "lower config.optimizer.learning_rate and run the same command again."
            )
        return values

    def _speed(self, values: dict[str, float]) -> str:
        speed = values.get("images_per_second")
        return f"{speed:.0f} images/s" if speed else ""


def _fixed_batch(config: build.Config, test_set: data.Dataset) -> tuple[np.ndarray, Array]:
    """The first images of the test set with keys that never change: losses compare."""
    images = test_set.images[: config.training.batch_size]
    return images, jax.random.split(jax.random.key(config.training.seed + 1), len(images))
