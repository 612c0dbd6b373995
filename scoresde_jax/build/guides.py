"""Guidance by name: config.guide to a classifier, config.sampling.guidance to a guided score."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from scoresde_jax import guidance
from scoresde_jax.build.assemble import Config, Experiment
from scoresde_jax.models.classifier import SmallClassifier
from scoresde_jax.models.wideresnet import WideResNet
from scoresde_jax.sde import SDE
from scoresde_jax.tables import lookup, select
from scoresde_jax.types import Array, ScoreFn, bcast


class Guide(NamedTuple):
    """A classifier of noisy images, built."""

    classes: int
    init_params: Callable[[Array], Any]  # key -> parameters
    log_probs: Callable[[Any, Array, Array], Array]  # (params, x, t) -> log p_t(y | x) (B, classes)


def _scaled(sde: SDE, x: Array, t: Array) -> tuple[Array, Array]:
    """x over sqrt(alpha^2 + std^2), of about 1 at every t of every SDE; and t."""
    alpha, std = sde.marginal(jnp.ones_like(t), t)
    return x / bcast(jnp.sqrt(alpha**2 + std**2), x), t


def _with_std(sde: SDE, x: Array, t: Array) -> tuple[Array, Array]:
    return x, sde.marginal(jnp.zeros_like(t), t)[1]


# name: network, (sde, x, t) -> its arguments, its output -> logits
GUIDES = {
    "small": (SmallClassifier, _scaled, lambda output: output[1]),
    "wideresnet": (WideResNet, _with_std, lambda output: output),
}


def guide(config: Config, experiment: Experiment) -> Guide:
    """The classifier of config.guide, for the SDE and images of an experiment.

    Raises:
      ValueError: a name or key is unknown.
    """
    section = config.guide
    _, arguments, logits = lookup(GUIDES, section.name, "config.guide.name")
    network = select({name: row[0] for name, row in GUIDES.items()}, section, "config.guide")()

    def init_params(key: Array) -> Any:
        return network.init(key, jnp.zeros((1, *experiment.image_shape)), jnp.ones(1))["params"]

    def log_probs(params: Any, x: Array, t: Array) -> Array:
        t = jnp.broadcast_to(t, x.shape[:1])
        output = network.apply({"params": params}, *arguments(experiment.sde, x, t))
        return jax.nn.log_softmax(logits(output))

    return Guide(section.classes, init_params, log_probs)


class Guided(NamedTuple):
    """A guided score: what it needs, and how it is made."""

    needs: str  # what other parameters: "nothing" else, of a "guide", or of a "weaker" model
    classes: int  # to choose between; 0 where there are none
    score_fn: Callable[[Any], ScoreFn]  # of (params, other params, labels (B,) or None)


def guided(config: Config, experiment: Experiment, weaker: Experiment | None = None) -> Guided:
    """The score that config.sampling.guidance asks for.

    Args:
      weaker: for method "auto", the other model; None to find out only what is needed.

    Raises:
      ValueError: a name is unknown, there is no such class, the interval is none, or the network
        does not know of classes.
    """
    section, where = config.sampling.guidance, "config.sampling.guidance"
    guidance.check_interval(tuple(section.interval), f"{where}.interval")
    needs, make = lookup(METHODS, section.method, f"{where}.method")
    if section.method == "classifier_free" and not experiment.classes:
        raise ValueError(
            f"{where}.method is 'classifier_free', which needs a network that knows classes, and "
            "config.model.image_classes is 0; train one that does, as that of "
            "configs/subvp/digits.py:conditional, or use method 'classifier'."
        )
    if section.method == "auto" and section.weaker is None:
        raise ValueError(
            f"{where}.method is 'auto', and .weaker is None; it is the workdir of a weaker model "
            "of the same data: one trained for less long, or smaller."
        )
    known = {"none": 0, "classifier": config.guide.classes}
    classes = known.get(section.method, experiment.classes)
    if classes:
        guidance.class_labels(section.image_class, classes, 1, f"{where}.image_class")
    elif section.image_class is not None:
        raise ValueError(
            f"{where}.image_class is {section.image_class}, and method {section.method!r} of this "
            "network knows no classes; choose another .method, or leave .image_class None."
        )
    other = {"guide": lambda: guide(config, experiment)}.get(needs, lambda: weaker)()
    return Guided(needs, classes, lambda params: make(experiment, other, section, *params))


def with_model(config: Config, model: Mapping[str, Any]) -> Config:
    """A copy of a config with another section `model`."""
    changed = ConfigDict(config.to_dict())
    changed.model = ConfigDict(model)
    return changed


# method: (experiment, what else is needed, section, parameters, other parameters, labels) -> score


def _unguided(experiment, other, section, params, others, labels) -> ScoreFn:
    del other, section, others, labels
    return experiment.score_fn(params)


def _by_classifier(experiment, other, section, params, others, labels) -> ScoreFn:
    score_fn, log_probs = experiment.score_fn(params), partial(other.log_probs, others)
    guided_fn = guidance.classifier(score_fn, log_probs, labels, scale=section.scale)
    return guidance.within(tuple(section.interval), guided_fn, score_fn)


def _classifier_free(experiment, other, section, params, others, labels) -> ScoreFn:
    del other, others
    conditional = experiment.score_fn(params, labels=labels)
    unconditional = experiment.score_fn(params)
    guided_fn = guidance.classifier_free(unconditional, conditional, scale=section.scale)
    return guidance.within(tuple(section.interval), guided_fn, conditional)


def _auto(experiment, other, section, params, others, labels) -> ScoreFn:
    score_fn = experiment.score_fn(params, labels=labels)
    weaker = other.score_fn(others, labels=labels if other.classes else None)
    guided_fn = guidance.autoguidance(score_fn, weaker, scale=section.scale)
    return guidance.within(tuple(section.interval), guided_fn, score_fn)


METHODS = {
    "none": ("nothing", _unguided),
    "classifier": ("guide", _by_classifier),
    "classifier_free": ("nothing", _classifier_free),
    "auto": ("weaker", _auto),
}
