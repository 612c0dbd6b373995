"""The compiled programs of a run: training steps, sampling, scoring; each compiled once.

Inputs are placed on the mesh explicitly, so a program never waits for a hidden copy.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from scoresde_jax import build, data, likelihood, sharding, training
from scoresde_jax.progress import Progress
from scoresde_jax.types import Array, bcast

# Purposes of the keys of an example: fold_in(fold_in(key, purpose), index in the data set).
DEQUANTIZE, PROBE, LOSS = range(3)


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
    """Loss, log-density and bits/dim of every test image, each once, in order."""
    section = config.likelihood
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

    split = sharding.batch_sharded(mesh)
    program = jax.jit(one_batch, out_shardings=split)
    progress = Progress("eval", len(test_set.images), unit="image")
    rows = []
    for batch in data.eval_batches(test_set, section.batch_size):
        inputs = jax.device_put((batch["image"], batch["index"]), split)
        columns = jax.device_get(program(params, *inputs)) | {"index": batch["index"]}
        rows.append({name: column[batch["valid"]] for name, column in columns.items()})
        progress.update(int(rows[-1]["index"][-1]) + 1)
    progress.close()
    return {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}
