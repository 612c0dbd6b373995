"""What can be trained: the score network, a dequantizer for one that stands, and a guide.

The loop that trains (`verbs/train.py`), its program (`programs.py`) and its reports (`reports.py`)
know of tasks only.
"""

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from scoresde_jax import build, likelihood, losses
from scoresde_jax.types import Array


class Task(NamedTuple):
    """A network to be trained, and how."""

    name: str  # the --mode that trains it
    title: str  # of the network
    section: build.Config  # batch size, lengths, intervals, seed
    where: str  # the section's name
    meaning: tuple[str, ...]  # sections of the config that give the parameters their meaning
    init_params: Callable[[Array], Any]  # key -> parameters
    columns: Callable[[Mapping[str, np.ndarray]], Any]  # a batch of data -> what the losses take
    train_loss: Callable[[Any, Any, Array, Any], Array]  # (fixed, params, key, columns) -> (B,)
    eval_loss: Callable[[Any, Any, Array, Any], Array]  # (fixed, params, keys (B,), columns)
    fixed: Any  # arrays that the losses need and that are not trained
    learning_rate: Callable[[Any], Any]  # by step
    learning_rate_key: str  # where it was set
    optimizer: Any  # an optax.GradientTransformation


def images_only(batch: Mapping[str, np.ndarray]) -> np.ndarray:
    """The images of a batch, (B, H, W, C)."""
    return batch["image"]


def images_and_labels(batch: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The images of a batch, (B, H, W, C), and their classes, (B,) int32."""
    return batch["image"], batch["label"]


def score_task(experiment: build.Experiment, config: build.Config) -> Task:
    """The score network, by denoising score matching; of each class, if it knows of classes."""
    columns, arguments = images_only, lambda images: (images,)
    if experiment.classes:
        columns, arguments = images_and_labels, tuple
    schedule, optimizer = build.optimizer(config, "optimizer", "training")
    return Task(
        name="train",
        title=config.model.name,
        section=config.training,
        where="training",
        meaning=("sde", "parameterization", "model", "data"),
        init_params=experiment.init_params,
        columns=columns,
        train_loss=lambda _, params, key, x: experiment.train_loss(params, key, *arguments(x)),
        eval_loss=lambda _, params, keys, x: experiment.eval_loss(params, keys, *arguments(x)),
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

    def bounds(score_params: Any, params: Any, keys: Array, images: Array) -> Array:
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
        columns=images_only,
        train_loss=lambda fixed, params, key, images: bounds(
            fixed, params, jax.random.split(key, images.shape[0]), images
        ),
        eval_loss=bounds,
        fixed=score_params,
        learning_rate=schedule,
        learning_rate_key="config.dequantizer_optimizer.learning_rate",
        optimizer=optimizer,
    )


def guide_task(experiment: build.Experiment, config: build.Config) -> Task:
    """The classifier of noisy images that guides: the loss is its cross-entropy, in nats.

    Images are prepared as for the score network, at times uniform on [config.loss.t_min, 1].
    """
    guide = build.guide(config, experiment)

    def loss(params: Any, key: Array, x0: Array, labels: Array) -> Array:
        log_probs = partial(guide.log_probs, params)
        t_min = config.loss.get("t_min", 1e-5)  # losses of chains have none
        return losses.classification_loss(key, experiment.sde, log_probs, x0, labels, t_min=t_min)

    def train_loss(_: Any, params: Any, key: Array, batch: tuple[Array, Array]) -> Array:
        images, labels = batch
        scale_key, loss_key = jax.random.split(key)
        x0 = experiment.scale_train(jax.random.split(scale_key, images.shape[0]), images)
        return loss(params, loss_key, x0, labels)

    def eval_loss(_: Any, params: Any, keys: Array, batch: tuple[Array, Array]) -> Array:
        def one(key: Array, image: Array, label: Array) -> Array:
            scale_key, loss_key = jax.random.split(key)
            x0 = experiment.scale_loss(scale_key[None], image[None])
            return loss(params, loss_key, x0, label[None])[0]

        return jax.vmap(one)(keys, *batch)

    schedule, optimizer = build.optimizer(config, "guide_optimizer", "guide_training")
    return Task(
        name="train_classifier",
        title=f"classifier {config.guide.name}",
        section=config.guide_training,
        where="guide_training",
        meaning=("sde", "data", "guide"),
        init_params=guide.init_params,
        columns=images_and_labels,
        train_loss=train_loss,
        eval_loss=eval_loss,
        fixed=(),
        learning_rate=schedule,
        learning_rate_key="config.guide_optimizer.learning_rate",
        optimizer=optimizer,
    )
