"""The compiled programs of a run: training steps, sampling, scoring; each compiled once.

Inputs are placed on the mesh explicitly, so a program never waits for a hidden copy.
"""

import math
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from scoresde_jax import build, compaction, data, likelihood, sharding, training
from scoresde_jax.progress import Progress
from scoresde_jax.types import Array, bcast

# Purposes of the keys of an example: fold_in(fold_in(key, purpose), index in the data set).
DEQUANTIZE, PROBE, LOSS = range(3)
SEGMENT_TURNS = 64  # evaluations between two looks at who is done


def training_program(experiment: build.Experiment, config: build.Config, mesh: Mesh) -> Callable:
    """(state, stacked batches, count) -> (state, metrics), compiled once."""
    everywhere = sharding.replicated(mesh)
    step_fn = jax.jit(
        partial(
            training.train_steps,
            loss_fn=experiment.train_loss,
            tx=experiment.optimizer,
            ema_decay=config.training.ema_decay,
            microbatches=config.training.microbatches,
        ),
        donate_argnums=0,
        out_shardings=everywhere,
    )
    key = jax.device_put(jax.random.key(config.training.seed), everywhere)

    def advance(state, chunk, count):
        chunk = jax.device_put(chunk, sharding.batch_sharded(mesh, axis=1))
        count = jax.device_put(np.int32(count), everywhere)
        with jax.transfer_guard("disallow"):
            return step_fn(state, key, chunk, count)

    return advance


def sampling_program(experiment: build.Experiment, count: int, mesh: Mesh) -> Callable:
    """(params, key) -> pixels (count, H, W, C) uint8, nfe, converged; compiled once.

    An image with NaN or infinite pixels, from whatever sampler, is black and not converged.
    """

    def draw(params, key):
        shape = (count, *experiment.image_shape)
        drawn = experiment.sampler(key, experiment.score_fn(params), shape)
        whole = jnp.all(jnp.isfinite(drawn.x), axis=(1, 2, 3))
        x = jnp.where(bcast(whole, drawn.x), drawn.x, 0.0)
        pixels = jnp.where(bcast(whole, x), experiment.to_pixels(x), jnp.uint8(0))
        return pixels, drawn.nfe, drawn.converged & whole

    return jax.jit(draw, out_shardings=sharding.batch_sharded(mesh))


def score(
    experiment: build.Experiment,
    params: Any,
    config: build.Config,
    mesh: Mesh,
    test_set: data.Dataset,
) -> dict[str, np.ndarray]:
    """Log-density, bits/dim and loss of every test image, each once, in order."""
    arguments = (experiment, params, config, mesh, test_set)
    columns = densities(*arguments) | {"loss": eval_losses(*arguments)}
    dims = math.prod(experiment.image_shape)
    bpd = likelihood.bits_per_dim(columns["logp"], dims, experiment.data_scale)
    return columns | {"bpd": bpd, "index": np.arange(len(test_set.images))}


def densities(
    experiment: build.Experiment,
    params: Any,
    config: build.Config,
    mesh: Mesh,
    test_set: data.Dataset,
) -> dict[str, np.ndarray]:
    """The flow's log-density of every test image, nats, in order.

    Images that are done make room for others, so that a hard one does not hold up a batch.
    """
    section, flow = config.likelihood, experiment.density
    split = sharding.batch_sharded(mesh)
    root = jax.random.key(section.seed)

    @jax.jit
    def start(images, index):
        x = experiment.scale_eval(keys_of(root, DEQUANTIZE, index), images)
        return flow.begin(keys_of(root, PROBE, index), x)

    def segment(params, rows, live, fewest):
        before = rows._replace(stuck=rows.stuck | ~live)
        limits = {"fewest": fewest, "turns": SEGMENT_TURNS}
        after = flow.advance(experiment.score_fn(params), before, **limits)
        found = flow.finish(after)
        outcome = {
            "logp": found.logp,
            "logp_standard_error": found.logp_se,
            "nfe": found.nfe,
            "converged": found.converged,
        }
        # Whoever moved last has moved in every turn.
        turns = jnp.max(after.nfe - before.nfe)
        return compaction.Segment(after, flow.active(after), outcome, turns)

    everywhere = sharding.replicated(mesh)
    program = jax.jit(segment, out_shardings=compaction.Segment(split, split, split, everywhere))
    count = len(test_set.images)
    done = compaction.complete(
        count,
        sizes=compaction.ladder(section.batch_size, multiple_of=mesh.size),
        begin=lambda i: start(test_set.images[i], i),
        advance=lambda rows, live, fewest: program(
            params, *jax.device_put((rows, live), split), np.int32(fewest)
        ),
    )
    return _in_order(done, Progress("eval", count, unit="image"))


def _in_order(parts: Iterable[compaction.Finished], progress: Progress) -> dict[str, np.ndarray]:
    """The columns of all examples by position, from parts in the order in which they were done."""
    positions, columns, finished = [], [], 0
    for part in parts:
        positions.append(part.positions)
        columns.append(part.outcome)
        finished += len(part.positions)
        progress.update(finished)
    progress.close()
    order = np.argsort(np.concatenate(positions))
    return {
        name: np.concatenate([column[name] for column in columns])[order] for name in columns[0]
    }


def eval_losses(
    experiment: build.Experiment,
    params: Any,
    config: build.Config,
    mesh: Mesh,
    test_set: data.Dataset,
) -> np.ndarray:
    """The training loss of every test image, in order, without dropout."""
    root = jax.random.key(config.likelihood.seed)
    split = sharding.batch_sharded(mesh)

    @partial(jax.jit, out_shardings=split)
    def program(params, images, index):
        return experiment.eval_loss(params, keys_of(root, LOSS, index), images)

    losses = []
    for batch in data.eval_batches(test_set, config.likelihood.batch_size):
        inputs = jax.device_put((batch["image"], batch["index"]), split)
        losses.append(jax.device_get(program(params, *inputs))[batch["valid"]])
    return np.concatenate(losses)


def keys_of(root: Array, purpose: int, index: Array) -> Array:
    """A key for each example of a data set and one purpose, whatever batch it is in; (B,)."""
    return jax.vmap(jax.random.fold_in, (None, 0))(jax.random.fold_in(root, purpose), index)
