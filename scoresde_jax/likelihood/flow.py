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

import jax
import jax.numpy as jnp

from scoresde_jax import ode
from scoresde_jax.likelihood.probes import rademacher
from scoresde_jax.sde import SDE, ode_drift
from scoresde_jax.types import Array, LogLikelihood, ScoreFn

Probe = Callable[
    [Array, tuple[int, ...]], Array
]  # (key, shape) -> entries, zero mean, unit variance


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
) -> LogLikelihood:
    """Log-density of each x under the flow from t_min to 1, with its error over probes.

    Args:
      keys: (B,) typed keys, one per example: the answer for an example depends on its own key only.
      x: (B, ...) data at time t_min.
      rtol, atol: tolerances for x and for log p per dimension alike.
      max_steps: step attempts allowed per example; one that needs more is NaN and not converged.
      probes: Hutchinson probes per example, held fixed along its path.
      probe: their distribution.

    Returns:
      LogLikelihood, each field (B, ...). One unit of nfe is one value with its divergence, for all
      probes together.
    """
    dims = x[0].size
    v = jax.vmap(lambda key: probe(key, (probes, *x.shape[1:])), out_axes=1)(keys)

    def field(t: Array, y: tuple[Array, Array]) -> tuple[Array, Array]:
        drift, divergence = value_and_divergence(lambda x: ode_drift(sde, score_fn, x, t), y[0], v)
        return drift, divergence / dims

    start = (x, jnp.zeros((x.shape[0], probes)))
    solution = ode.solve(field, start, t_min, 1.0, rtol=rtol, atol=atol, max_steps=max_steps)
    z, integral = solution.y
    logp = sde.prior_logp(z)[:, None] + dims * integral
    # One probe has no spread; NaN says so.
    se = jnp.std(logp, axis=1, ddof=1) / jnp.sqrt(probes) if probes > 1 else logp[:, 0] * jnp.nan
    return LogLikelihood(jnp.mean(logp, axis=1), se, z, solution.nfe, solution.converged)


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

    # The value does not depend on the probe, so vmap computes it once.
    return jax.vmap(push, out_axes=(None, 1))(v)
