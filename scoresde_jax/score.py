"""From a network's raw output to a score: one line, and a table of what each training meant by it.

    score(x, t) = skip(t) x + scale(t) network(input(x), label(t))

A trained network is a score only together with its row of the table, so the row is chosen once, in
the config, and neither the network nor any sampler knows about it. The rows reproduce the 2021
models.

Not here: the networks (`models/`), what a score is used for (`losses.py`, `sampling/`,
  `likelihood/`).
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from scoresde_jax.sde import SDE, VESDE, VPSDE, chain_index
from scoresde_jax.types import Array, Network, ScoreFn, bcast

MAX_LABEL = 999.0  # the largest DDPM label; networks with continuous times expect 999 t


class Parameterization(NamedTuple):
    """How one family of networks encodes the score; each field is a function."""

    input: Callable[[Array], Array]  # x -> what the network sees
    label: Callable[[Array], Array]  # t (B,) -> conditioning (B,)
    skip: Callable[[Array], Array]  # t (B,) -> weight of x in the score (B,)
    scale: Callable[[Array], Array]  # t (B,) -> weight of the output in the score (B,)


def make_score_fn(parameterization: Parameterization, network: Network) -> ScoreFn:
    """Binds a network (parameters, dropout key and class already in it) to its parameterisation.

    The result takes t of shape () or (B,).
    """
    row = parameterization

    def score_fn(x: Array, t: Array) -> Array:
        t = jnp.broadcast_to(t, x.shape[:1])
        output = network(row.input(x), row.label(t))
        return bcast(row.skip(t), x) * x + bcast(row.scale(t), x) * output

    return score_fn


def guide(score_fn: ScoreFn, log_p_y: Callable[[Array, Array], Array]) -> ScoreFn:
    """Adds the gradient of a log-likelihood (Song et al. 2021, eq. 14).

    score + grad_x log p_t(y | x)

    Args:
      score_fn: the unconditional score.
      log_p_y: (x (B, ...), t) -> (B,) nats, each depending on its own x only.
    """

    def guided(x: Array, t: Array) -> Array:
        return score_fn(x, t) + jax.grad(lambda x: jnp.sum(log_p_y(x, t)))(x)

    return guided


def as_is(x: Array) -> Array:
    """Input of a network that is fed data as they are scaled: [-1, 1] for centred data."""
    return x


def to_centered(x: Array) -> Array:
    """Input of a network trained on data in [0, 1], which centres them itself: 2x - 1."""
    return 2 * x - 1


def vp_continuous(sde: SDE, input: Callable[[Array], Array] = as_is) -> Parameterization:
    """VP, sub-VP and linear VE at continuous times: label 999 t, score = -output / std(t)."""
    return Parameterization(
        input, lambda t: MAX_LABEL * t, jnp.zeros_like, lambda t: -1 / _std(sde, t)
    )


def ve_continuous(sde: SDE, input: Callable[[Array], Array] = as_is) -> Parameterization:
    """VE at continuous times: the label is sigma(t) itself, score = output / sigma(t)."""
    return Parameterization(
        input, lambda t: _std(sde, t), jnp.zeros_like, lambda t: 1 / _std(sde, t)
    )


def vp_discrete(sde: VPSDE, *, n: int, input: Callable[[Array], Array] = as_is) -> Parameterization:
    """DDPM with n steps: label t (n-1), not rounded; score = -output / sqrt(1 - alphabar_i).

    alphabar is looked up at i = floor(t (n-1)), as the 2021 code does.
    """
    std = jnp.sqrt(1 - sde.chain_alpha_bars(n))
    return Parameterization(
        input, lambda t: t * (n - 1), jnp.zeros_like, lambda t: -1 / std[chain_index(t, n)]
    )


def ve_discrete(sde: VESDE, *, n: int, input: Callable[[Array], Array] = as_is) -> Parameterization:
    """SMLD, n levels: label round((1-t)(n-1)), 0 for the largest sigma; score = output / sigma."""
    label = partial(_level, n=n)
    return Parameterization(
        input, label, jnp.zeros_like, lambda t: 1 / sde.sigma(1 - label(t) / max(n - 1, 1))
    )


def ncsn(sde: VESDE, *, n: int, input: Callable[[Array], Array] = as_is) -> Parameterization:
    """NCSN, n levels: labels as for SMLD, and the output is the score (Song & Ermon 2019)."""
    del sde
    return Parameterization(input, partial(_level, n=n), jnp.zeros_like, jnp.ones_like)


def _level(t: Array, *, n: int) -> Array:
    return jnp.round((1 - t) * (n - 1))


def _std(sde: SDE, t: Array) -> Array:
    return sde.marginal(jnp.zeros(t.shape), t)[1]
