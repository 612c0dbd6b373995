"""What the x0-predictions of a multistep method are multiplied by.

The probability flow from time s to time t is, with h = lambda_t - lambda_s,

    x_t = (sigma_t / sigma_s) x_s + alpha_t I,    I = integral of e^(l - lambda_t) D(l) dl

over the step (Lu et al. 2022b, eq. 8). A method puts a polynomial through the predictions D that it
has and integrates that, so that I is a weighted sum of them. The times of all steps are known
beforehand, and so are all weights: they are computed here, at once. A prediction that does not
exist yet has the weight 0, and the polynomial is of a lower degree.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from scoresde_jax.sde import SDE, half_log_snr
from scoresde_jax.types import Array

# (t, x0 (B, ...)) of predictions made before the first step, newest first.
History = tuple[tuple[float | Array, Array], ...]

# Gauss-Legendre on [0, 1]: exact to 1e-15 for h up to 14, more than all of VP's range in one step.
# The closed forms lose digits to cancellation as h gets small; a sum of products does not.
_LEGENDRE = np.polynomial.legendre.leggauss(16)
_POINTS, _MASSES = (_LEGENDRE[0] + 1) / 2, _LEGENDRE[1] / 2


class Steps(NamedTuple):
    """For each step its ends, and the predictions that it may use; all in lambda."""

    start: Array  # (steps,)
    end: Array  # (steps,)
    nodes: Array  # (steps, k) where the predictions are, newest first
    known: Array  # (steps, k) bool, whether there is such a prediction


def explicit_steps(sde: SDE, times: Array, history: History, k: int) -> Steps:
    """The steps of a grid; each may use the prediction at its start and the k - 1 before that."""
    earlier = jnp.asarray([t for t, _ in reversed(history)], times.dtype)
    at = half_log_snr(sde, jnp.concatenate([earlier, times]))
    index = len(history) + np.arange(len(times) - 1)[:, None] - np.arange(k)
    start, end = at[len(history) : -1], at[len(history) + 1 :]
    return Steps(start, end, at[np.maximum(index, 0)], jnp.asarray(index >= 0))


def implicit_steps(sde: SDE, times: Array, history: History, k: int) -> Steps:
    """The same steps, each of which may also use the prediction at its end, as the newest of k."""
    steps = explicit_steps(sde, times, history, k - 1)
    nodes = jnp.concatenate([steps.end[:, None], steps.nodes], axis=1)
    known = jnp.concatenate([jnp.ones_like(steps.known[:, :1]), steps.known], axis=1)
    return steps._replace(nodes=nodes, known=known)


def exact_weights(steps: Steps) -> Array:
    """Integrates the polynomial through all known predictions exactly, (steps, k).

    w_j = integral of e^(l - end) L_j(l) dl over the step, L_j the Lagrange polynomial of node j.
    """
    h = (steps.end - steps.start)[:, None]
    points, masses = jnp.asarray(_POINTS, h.dtype), jnp.asarray(_MASSES, h.dtype)
    density = h * jnp.exp(-h * (1 - points)) * masses  # (steps, points)
    nodes = (steps.nodes - steps.start[:, None]) / h
    others = steps.known[:, :, None] & steps.known[:, None] & ~np.eye(nodes.shape[1], dtype=bool)
    span = jnp.where(others, nodes[:, :, None] - nodes[:, None], 1.0)
    factors = (points - nodes[:, None, :, None]) / span[..., None]  # (steps, j, m, points)
    lagrange = jnp.prod(jnp.where(others[..., None], factors, 1.0), axis=2)
    return steps.known * jnp.sum(density[:, None] * lagrange, axis=-1)


def middle_weights(steps: Steps, total: Array) -> Array:
    """Takes the line through two predictions at the middle of the step, for all of it, (steps, 2).

    w = total (1 + h / 2 g) and -total h / 2 g, where g is the length of the step before. Second
    order, as the exact integral of that line is, and what DPM-Solver++(2M) uses.

    Args:
      total: (steps,) the sum of the two, the integral of 1: 1 - e^-h for the probability flow.
    """
    known = steps.known[:, 1]
    gap = jnp.where(known, steps.nodes[:, 0] - steps.nodes[:, 1], 1.0)
    ahead = jnp.where(known, (steps.end - steps.start) / (2 * gap), 0.0)
    return total[:, None] * jnp.stack([1 + ahead, -ahead], axis=1)
