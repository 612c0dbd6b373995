"""The probability-flow ODE as sampler, encoder and decoder.

    dx/dt = f - g^2 s / 2     noise at t = 1  <->  data at t_min     (Song et al. 2021, section 4.3)

The map is deterministic and invertible: `decode(encode(x))` is x up to the tolerance.
"""

import jax

from scoresde_jax import ode
from scoresde_jax.runge_kutta import DORMAND_PRINCE, Pair
from scoresde_jax.sde import SDE, ode_drift
from scoresde_jax.types import Array, Samples, ScoreFn


def ode_sample(
    key: Array,
    sde: SDE,
    score_fn: ScoreFn,
    shape: tuple[int, ...],
    *,
    t_min: float,
    rtol: float,
    atol: float,
    max_steps: int = 1000,
    pair: Pair = DORMAND_PRINCE,
    temperature: float = 1.0,
) -> Samples:
    """Draws samples: noise from the prior, decoded.

    Args:
      temperature: multiplies the noise; below 1 for likelier, less varied samples.
      t_min, rtol, atol, max_steps, pair: as for `decode`.
    """
    prior_key, _ = jax.random.split(key)  # the noise that other samplers start from, too
    z = temperature * sde.prior_sample(prior_key, shape)
    options = {"t_min": t_min, "rtol": rtol, "atol": atol, "max_steps": max_steps, "pair": pair}
    return decode(sde, score_fn, z, **options)


def decode(
    sde: SDE,
    score_fn: ScoreFn,
    z: Array,
    *,
    t_min: float,
    rtol: float,
    atol: float,
    max_steps: int = 1000,
    pair: Pair = DORMAND_PRINCE,
) -> Samples:
    """Carries latents (B, ...) from t = 1 to data at t_min.

    Args:
      rtol, atol: tolerances of the solve, per example.
      max_steps: step attempts allowed per example; one that needs more is NaN and not converged.
      pair: the Runge-Kutta formulas.
    """
    return _flow(sde, score_fn, z, 1.0, t_min, rtol, atol, max_steps, pair)


def encode(
    sde: SDE,
    score_fn: ScoreFn,
    x: Array,
    *,
    t_min: float,
    rtol: float,
    atol: float,
    max_steps: int = 1000,
    pair: Pair = DORMAND_PRINCE,
) -> Samples:
    """Carries data (B, ...) from t_min to latents at t = 1. Arguments as for `decode`."""
    return _flow(sde, score_fn, x, t_min, 1.0, rtol, atol, max_steps, pair)


def _flow(
    sde: SDE,
    score_fn: ScoreFn,
    x: Array,
    t0: float,
    t1: float,
    rtol: float,
    atol: float,
    max_steps: int,
    pair: Pair,
) -> Samples:
    solution = ode.solve(
        lambda t, x, _: ode_drift(sde, score_fn, x, t),
        x,
        t0,
        t1,
        rtol=rtol,
        atol=atol,
        max_steps=max_steps,
        pair=pair,
    )
    return Samples(solution.y, solution.nfe, solution.converged)
