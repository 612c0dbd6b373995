"""Likelihoods by name: config.likelihood to densities, bounds and dequantizers."""

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from scoresde_jax import likelihood, sde
from scoresde_jax.build.samplers import PAIRS
from scoresde_jax.models import DequantizationFlow
from scoresde_jax.tables import check_key, lookup, select
from scoresde_jax.types import Array

Config = Any  # a ConfigDict; type checkers know nothing of its attributes

BOUND_TIMES = {
    "stratified": likelihood.stratified_importance,
    "antithetic": likelihood.antithetic_importance,
    "independent": likelihood.independent_importance,
    "uniform": likelihood.independent_uniform,
}
BOUND_FORMS = {"denoising": likelihood.denoising, "sliced": likelihood.sliced}
PROBES = {"rademacher": likelihood.rademacher, "gaussian": likelihood.gaussian}


# Keys of config.likelihood that are not FlowDensity's.
_LIKELIHOOD_KEYS = (
    "batch_size",
    "seed",
    "bound",
    "dequantizations",
    "importance_samples",
    "truncated_std",
    "images_per_piece",
)


def density(section: Mapping[str, Any], the_sde: sde.SDE) -> likelihood.FlowDensity:
    """The log-likelihood that config.likelihood describes. ValueError: a key or name is unknown."""
    known = [field.name for field in dataclasses.fields(likelihood.FlowDensity)]
    for key in section:
        check_key(key, [*known, *_LIKELIHOOD_KEYS], "config.likelihood")
    options = {key: value for key, value in section.items() if key in known}
    options["probe"] = lookup(PROBES, options["probe"], "config.likelihood.probe")
    options["pair"] = lookup(PAIRS, options["pair"], "config.likelihood.pair")
    return likelihood.FlowDensity(the_sde, **options)


def bound(section: Mapping[str, Any], the_sde: sde.SDE):
    """The bound that config.likelihood.bound describes, as (keys, score_fn, x) -> (B,) nats.

    Raises:
      ValueError: a key or name is unknown.
    """
    options = dict(section)
    options["times"] = lookup(BOUND_TIMES, options["times"], "config.likelihood.bound.times")
    options["form"] = lookup(BOUND_FORMS, options["form"], "config.likelihood.bound.form")
    select(
        {"bound": likelihood.likelihood_bound},
        {"name": "bound", **options},
        "config.likelihood.bound",
    )
    return lambda keys, score_fn, x: likelihood.likelihood_bound(
        keys, the_sde, score_fn, x, **options
    )


def dequantizers(
    config: Config, the_sde: sde.SDE, data_scale: float, learned_params: Callable[[], Any]
) -> dict[str, likelihood.Dequantizer]:
    """What config.likelihood.dequantizations names, each (keys, levels (B, H, W, C)) -> Noise.

    Args:
      data_scale: d x / d level.
      learned_params: gives the parameters of the trained flow; called if it is named.

    Raises:
      ValueError: a name is unknown, or comes twice, or there is none.
    """
    names = tuple(config.likelihood.dequantizations)
    where = "config.likelihood.dequantizations"
    if not names or len(set(names)) < len(names):
        raise ValueError(f"{where} is {names}; it must name each dequantization once.")
    if (config.data.levels is None) != (names == ("none",)):
        raise ValueError(
            f"{where} is {names} and config.data.levels is {config.data.levels}: data without "
            "levels go with dequantizations ('none',), and only they do."
        )
    makers = {
        "none": lambda: likelihood.none,
        "uniform": lambda: likelihood.uniform,
        "truncated_normal": lambda: partial(
            likelihood.truncated_normal, std=_truncated_std(config, the_sde, data_scale)
        ),
        "learned": lambda: learned_dequantizer(config, learned_params()),
    }
    return {name: lookup(makers, name, where)() for name in names}


def _truncated_std(config: Config, the_sde: sde.SDE, data_scale: float) -> float:
    """The width of truncated normal noise, in levels: by default what the SDE adds at t_min."""
    if config.likelihood.truncated_std is not None:
        return config.likelihood.truncated_std
    alpha, std = the_sde.marginal(jnp.ones(()), jnp.asarray(config.likelihood.t_min))
    return float(std / alpha) / data_scale


def dequantization_flow(config: Config) -> nn.Module:
    """The network of config.dequantizer."""
    arguments = {k: tuple(v) if isinstance(v, list) else v for k, v in config.dequantizer.items()}
    return select(
        {"flow": DequantizationFlow}, {"name": "flow", **arguments}, "config.dequantizer"
    )()


def learned_dequantizer(config: Config, params: Any) -> likelihood.Dequantizer:
    """The flow with these parameters, as a dequantizer."""
    network = dequantization_flow(config)

    def flow(eps: Array, image: Array) -> tuple[Array, Array]:
        u, log_det = network.apply({"params": params}, eps, image)
        return jnp.asarray(u), jnp.asarray(log_det)

    return partial(likelihood.learned, flow=flow, levels=config.data.levels)
