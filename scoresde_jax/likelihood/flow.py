"""The log-density that the probability-flow ODE gives to x.

    dx/dt = F(x, t) = f - g^2 s / 2,     d log p_t(x_t) / dt = -div F(x_t, t)
    log p(x) = log prior(z) + integral of div F from t_min to 1,   z = x_1
    div F = E[v^T (dF/dx) v]                                       v from `probes.py`

(Song et al. 2021, eqs. 13, 39, 40; Grathwohl et al. 2019, eq. 7). F and (dF/dx) v come from one
linearisation, and the integral is part of the ODE's state, so its error is controlled as that of x
is.

Not here: dequantization (`data/preprocess.py`), bits per dimension (`bits.py`), the solver
  (`ode.py`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from scoresde_jax import ode
from scoresde_jax.likelihood.probes import rademacher
from scoresde_jax.runge_kutta import DORMAND_PRINCE, Pair
from scoresde_jax.sde import SDE, ode_drift
from scoresde_jax.types import Array, LogLikelihood, ScoreFn

Probe = Callable[
    [Array, tuple[int, ...]], Array
]  # (key, shape) -> entries, zero mean, unit variance

TRACE_BLOCK = 16  # directional derivatives at a time, for the exact trace


@dataclass(frozen=True)
class FlowDensity:
    """`log_likelihood` in parts, so that examples can be exchanged between them.

    Attributes:
      sde, t_min, rtol, atol, max_steps, probes, probe, pair: as for `log_likelihood`.
    """

    sde: SDE
    t_min: float
    rtol: float
    atol: float
    max_steps: int = 1000
    probes: int = 1
    probe: Probe = rademacher
    pair: Pair = DORMAND_PRINCE

    def begin(self, keys: Array, x: Array) -> ode.State:
        """Where each x (B, ...) starts from, with its probes; nothing is evaluated yet."""
        integrals = jnp.zeros((x.shape[0], max(self.probes, 1)), x.dtype)
        v = jax.vmap(lambda key: self.probe(key, (self.probes, *x.shape[1:])))(keys)
        return ode.start((x, integrals), self.t_min, v, pair=self.pair)

    def active(self, state: ode.State) -> Array:
        """Which examples have to go on, (B,) bool."""
        return ode.active(state, 1.0, self.max_steps)

    def advance(self, score_fn: ScoreFn, state: ode.State, **limits: Any) -> ode.State:
        """Carries examples on towards t = 1; limits are those of `ode.advance`."""

        def field(t: Array, y: tuple[Array, Array], v: Array) -> tuple[Array, Array]:
            def drift(x: Array) -> Array:
                return ode_drift(self.sde, score_fn, x, t)

            x = y[0]
            if v.shape[1]:
                slope, divergence = value_and_divergence(drift, x, jnp.moveaxis(v, 1, 0))
            else:
                slope, divergence = value_and_trace(drift, x)
            return slope, divergence / x[0].size

        def without_divergence(t: Array, y: tuple[Array, Array], v: Array) -> tuple[Array, Array]:
            return ode_drift(self.sde, score_fn, y[0], t), jnp.zeros_like(y[1])

        settings = {"rtol": self.rtol, "atol": self.atol, "max_steps": self.max_steps}
        settings |= {"pair": self.pair, "leading": without_divergence}
        return ode.advance(field, state, 1.0, **settings, **limits)

    def finish(self, state: ode.State) -> LogLikelihood:
        """The answer, from a state that is at t = 1; NaN where it did not get there."""
        solution = ode.finish(state, 1.0)
        z, integral = solution.y
        logp = self.sde.prior_logp(z)[:, None] + z[0].size * integral
        mean = jnp.mean(logp, axis=1)
        if self.probes > 1:
            se = jnp.std(logp, axis=1, ddof=1) / jnp.sqrt(self.probes)
        else:  # one probe has no spread, and NaN says so; the exact trace has no error
            se = mean * (jnp.nan if self.probes else 0.0)
        return LogLikelihood(mean, se, z, solution.nfe, solution.converged)


def log_likelihood(
    keys: Array,
    sde: SDE,
    score_fn: ScoreFn,
    x: Array,
    *,
    t_min: float,
    rtol: float,
    atol: float,
    max_steps: int = 1000,
    probes: int = 1,
    probe: Probe = rademacher,
    pair: Pair = DORMAND_PRINCE,
) -> LogLikelihood:
    """Log-density of each x under the flow from t_min to 1, with its error over probes.

    Args:
      keys: (B,) typed keys, one per example: the answer for an example depends on its own key only.
      x: (B, ...) data at time t_min.
      rtol, atol: tolerances for x and for log p per dimension alike.
      max_steps: step attempts allowed per example; one that needs more is NaN and not converged.
      probes: Hutchinson probes per example, held fixed along its path; 0 for the exact trace, at
        one directional derivative per dimension, for small images.
      probe: their distribution.
      pair: the Runge-Kutta formulas.

    Returns:
      LogLikelihood, each field (B, ...). One unit of nfe is one value of the network, with its
      divergence for all probes together; Dormand & Prince need no divergence in one of six.
    """
    flow = FlowDensity(sde, t_min, rtol, atol, max_steps, probes, probe, pair)
    return flow.finish(flow.advance(score_fn, flow.begin(keys, x)))


def value_and_divergence(
    field: Callable[[Array], Array], x: Array, v: Array
) -> tuple[Array, Array]:
    """A vector field at x and Hutchinson's estimates of its divergence, from one linearisation.

    Args:
      field: (B, ...) -> (B, ...), each example on its own.
      v: (k, B, ...) probes.

    Returns:
      (B, ...) values and (B, k) estimates v^T J v, in units of the field over x.
    """

    def push(v: Array) -> tuple[Array, Array]:
        value, tangent = jax.jvp(field, (x,), (v,))
        return value, jnp.sum((v * tangent).reshape(x.shape[0], -1), axis=-1)

    if len(v) == 1:
        # Without vmap's axis of one, which XLA:CPU sums over ten times as slowly.
        value, estimate = push(v[0])
        return value, estimate[:, None]
    # The value does not depend on the probe, so vmap computes it once.
    return jax.vmap(push, out_axes=(None, 1))(v)


def value_and_trace(field: Callable[[Array], Array], x: Array) -> tuple[Array, Array]:
    """A vector field at x, (B, ...), and its exact divergence, (B, 1).

    One directional derivative per dimension of an example, in blocks of at most TRACE_BLOCK, so
    that the memory is that of a batch as many times as large.
    """
    dims = x[0].size
    block = next(size for size in range(min(TRACE_BLOCK, dims), 0, -1) if dims % size == 0)

    def of_block(first: Array) -> tuple[Array, Array]:
        axes = jax.nn.one_hot(first + jnp.arange(block), dims, dtype=x.dtype)
        v = jnp.broadcast_to(axes.reshape(block, 1, *x.shape[1:]), (block, *x.shape))
        value, parts = value_and_divergence(field, x, v)
        return value, jnp.sum(parts, axis=1)

    values, traces = jax.lax.map(of_block, jnp.arange(0, dims, block))
    return values[0], jnp.sum(traces, axis=0)[:, None]
