"""The compiled programs of a run: training steps and sampling; each compiled once.

Inputs are placed on the mesh explicitly, so a program never waits for a hidden copy.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from scoresde_jax import build, sharding, training
from scoresde_jax.tasks import Task
from scoresde_jax.types import Samples, ScoreFn, bcast

ScoreOf = Callable[[Any], ScoreFn]


def training_program(task: Task, mesh: Mesh) -> Callable:
    """(state, stacked batches, count) -> (state, metrics), compiled once."""
    everywhere = sharding.replicated(mesh)
    section = task.section

    def steps(state, key, chunk, count, fixed):
        return training.train_steps(
            state,
            key,
            chunk,
            count,
            loss_fn=lambda *arguments: task.train_loss(fixed, *arguments),
            tx=task.optimizer,
            ema_decay=section.ema_decay,
            microbatches=section.microbatches,
        )

    step_fn = jax.jit(steps, donate_argnums=0, out_shardings=everywhere)
    key, fixed = sharding.copied((jax.random.key(section.seed), task.fixed), mesh)

    def advance(state, chunk, count):
        chunk = jax.device_put(chunk, sharding.batch_sharded(mesh, axis=1))
        count = jax.device_put(np.int32(count), everywhere)
        with jax.transfer_guard("disallow"):
            return step_fn(state, key, chunk, count, fixed)

    return advance


def drawing_program(
    experiment: build.Experiment, count: int, mesh: Mesh, score_of: ScoreOf | None = None
) -> Callable:
    """(params, key) -> Samples (count, H, W, C) in the network's scale; compiled once.

    A sample that is not finite, from whatever sampler, is not converged.

    Args:
      score_of: params -> the score that is sampled, of whatever parameters; None for the network's.
    """
    score_of = score_of or experiment.score_fn

    def draw(params, key):
        shape = (count, *experiment.image_shape)
        drawn = experiment.sampler(key, score_of(params), shape)
        whole = jnp.all(jnp.isfinite(drawn.x), axis=(1, 2, 3))
        return Samples(drawn.x, drawn.nfe, drawn.converged & whole)

    return jax.jit(draw, out_shardings=sharding.batch_sharded(mesh))


def sampling_program(
    experiment: build.Experiment, count: int, mesh: Mesh, score_of: ScoreOf | None = None
) -> Callable:
    """(params, key) -> pixels (count, H, W, C) uint8, nfe, converged; compiled once.

    An image that did not converge is black.
    """
    draw = drawing_program(experiment, count, mesh, score_of)

    def pixels(params, key):
        drawn = draw(params, key)
        x = jnp.where(bcast(drawn.converged, drawn.x), drawn.x, 0.0)
        shown = jnp.where(bcast(drawn.converged, x), experiment.to_pixels(x), jnp.uint8(0))
        return shown, drawn.nfe, drawn.converged

    return jax.jit(pixels, out_shardings=sharding.batch_sharded(mesh))


def restoring_program(
    experiment: build.Experiment, restorer: build.Restorer, mesh: Mesh
) -> Callable:
    """(params, key, y) -> x (B, H, W, C) in the network's scale, nfe; compiled once.

    On CPUs a solver that differentiates the network is a loop on the host, of the same numbers:
    XLA:CPU computes gradients of convolutions 7 times as slowly inside a loop (the digits model).
    """
    split = sharding.batch_sharded(mesh)

    steps = restorer.steps
    if steps is None or jax.default_backend() != "cpu":

        def draw(params, key, y):
            drawn = restorer.sample(key, experiment.score_fn(params), y)
            return drawn.x, drawn.nfe[0]

        once = jax.jit(draw, out_shardings=(split, sharding.replicated(mesh)))
        return lambda params, key, y: once(params, key, jax.device_put(y, split))

    start = jax.jit(steps.start, out_shardings=split)
    step = jax.jit(
        lambda params, key, y, state, row: steps.step(
            key, experiment.score_fn(params), y, state, row
        ),
        out_shardings=split,
    )
    end = jax.jit(
        lambda params, key, y, state: steps.end(key, experiment.score_fn(params), y, state),
        out_shardings=split,
    )

    def step_by_step(params, key, y):
        state, y = start(key), jax.device_put(y, split)
        for i in range(len(steps.rows.i)):
            row = jax.tree.map(lambda leaf, i=i: leaf[i], steps.rows)
            state = step(params, key, y, state, row)
        return end(params, key, y, state), steps.nfe

    return step_by_step
