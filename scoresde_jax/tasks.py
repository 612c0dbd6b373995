"""What can be trained: the score network, and a dequantizer for a score network that stands.

The loop that trains (`verbs/train.py`), its program (`programs.py`) and its reports (`reports.py`)
know of tasks only.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from scoresde_jax import build, likelihood
from scoresde_jax.types import Array


class Task(NamedTuple):
    """A network to be trained, and how."""

    name: str  # the --mode that trains it
    title: str  # of the network
    section: build.Config  # batch size, lengths, intervals, seed
    where: str  # the section's name
    meaning: tuple[str, ...]  # sections of the config that give the parameters their meaning
    init_params: Callable[[Array], Any]  # key -> parameters
    train_loss: Callable[[Any, Any, Array, Array], Array]  # (fixed, params, key, images) -> (B,)
    eval_loss: Callable[[Any, Any, Array, Array], Array]  # (fixed, params, keys (B,), images)
    fixed: Any  # arrays that the losses need and that are not trained
    learning_rate: Callable[[Any], Any]  # by step
    learning_rate_key: str  # where it was set
    optimizer: Any  # an optax.GradientTransformation


def score_task(experiment: build.Experiment, config: build.Config) -> Task:
    """The score network, by denoising score matching."""
    schedule, optimizer = build.optimizer(config, "optimizer", "training")
    return Task(
        name="train",
        title=config.model.name,
        section=config.training,
        where="training",
        meaning=("sde", "parameterization", "model", "data"),
        init_params=experiment.init_params,
        train_loss=lambda _, params, key, images: experiment.train_loss(params, key, images),
        eval_loss=lambda _, params, keys, images: experiment.eval_loss(params, keys, images),
        fixed=(),
        learning_rate=schedule,
        learning_rate_key="config.optimizer.learning_rate",
        optimizer=optimizer,
    )


def dequantizer_task(experiment: build.Experiment, config: build.Config, score_params: Any) -> Task:
    """The flow that dequantizes best for a score network: the loss is the bound, in bits/dim.

    -(log p(x) - log q(u | y)) / (dims log 2), with `likelihood_bound` for log p and one draw of t
    (Song et al. 2021b, section 4.3).
    """
    flow = build.dequantization_flow(config)
    dims = math.prod(experiment.image_shape)

    def losses(score_params: Any, params: Any, keys: Array, images: Array) -> Array:
        noise_keys, bound_keys = jax.vmap(jax.random.split, out_axes=1)(keys)
        noise = build.learned_dequantizer(config, params)(noise_keys, images)
        x = experiment.scale_cells(images + noise.u)
        bound = likelihood.likelihood_bound(
            bound_keys,
            experiment.sde,
            experiment.score_fn(score_params),
            x,
            t_min=config.likelihood.bound.t_min,
            draws=1,
            loop=likelihood.at_once,
        )
        return likelihood.bits_per_dim(bound.logp - noise.logq, dims, experiment.data_scale)

    def init_params(key: Array) -> Any:
        image = jnp.zeros((1, *experiment.image_shape))
        return flow.init(key, image, image)["params"]

    schedule, optimizer = build.optimizer(config, "dequantizer_optimizer", "dequantizer_training")
    return Task(
        name="train_dequantizer",
        title="dequantization flow",
        section=config.dequantizer_training,
        where="dequantizer_training",
        meaning=("data", "dequantizer"),
        init_params=init_params,
        train_loss=lambda fixed, params, key, images: losses(
            fixed, params, jax.random.split(key, images.shape[0]), images
        ),
        eval_loss=losses,
        fixed=score_params,
        learning_rate=schedule,
        learning_rate_key="config.dequantizer_optimizer.learning_rate",
        optimizer=optimizer,
    )
