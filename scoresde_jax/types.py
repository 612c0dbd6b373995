"""The words that every layer shares: array types, the two function contracts, result tuples.

Everything meets at ``ScoreFn``: samplers, likelihoods and losses see ``score_fn(x, t)`` only and
never a network; networks see ``(x, label)`` only and never an SDE.
"""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp

Array = jax.Array
ScoreFn = Callable[[Array, Array], Array]  # (x (B, ...), t (B,)) -> grad_x log p_t(x) (B, ...)
Network = Callable[[Array, Array], Array]  # (x (B, ...), label (B,)) -> raw output (B, ...)


_Class = TypeVar("_Class", bound=type)


def register_pytree(cls: _Class) -> _Class:
    """Makes a pytree of a dataclass, its fields the children; for use as a decorator.

    `jax.tree_util.register_dataclass` does the same but for one thing: to jaxlib 0.10.2 two classes
    with as many fields are then equal structures, so that a jitted function that is given a VP SDE
    may run what it compiled for a sub-VP one, whenever their hashes happen to collide. Here the
    class is part of the structure.
    """
    names = [field.name for field in dataclasses.fields(cls)]

    def flatten(value):
        keys = (jax.tree_util.GetAttrKey(name) for name in names)
        return [(key, getattr(value, key.name)) for key in keys], cls

    jax.tree_util.register_pytree_with_keys(cls, flatten, lambda _, children: cls(*children))
    return cls


class Update(NamedTuple):
    """What a predictor or corrector returns: one move of the sampler."""

    x: Array  # (B, ...) the new state
    x_mean: Array  # (B, ...) the same before the last noise was added
    nfe: int  # score evaluations spent, a Python int: known when the sampler is compiled


class Samples(NamedTuple):
    """What a sampler returns."""

    x: Array  # (B, ...) in the scale of the data the network was trained on
    nfe: Array  # (B,) int32, score evaluations that each example needed
    converged: Array  # (B,) bool; False where an adaptive solve ran out of steps (x is NaN there)


class LogLikelihood(NamedTuple):
    """What `likelihood.log_likelihood` returns, per example."""

    logp: Array  # (B,) nats; NaN where not converged
    logp_se: Array  # (B,) nats, standard error over probes; NaN for a single probe
    z: Array  # (B, ...) the latent, x carried to t = 1
    nfe: Array  # (B,) int32 network linearisations (value and divergence together)
    converged: Array  # (B,) bool


def bcast(t: Array, x: Array) -> Array:
    """Shapes t, () or (B,), so that it multiplies x, (B, ...), example by example."""
    t = jnp.asarray(t)
    return t.reshape(t.shape + (1,) * (x.ndim - t.ndim)) if t.ndim else t
