"""DDRM: denoising diffusion restoration models (Kawar et al. 2022).

In x / alpha, whose noise is s = sigma / alpha, and in the coordinates of A = U diag(d) V^T, with
c = U^T y / d and tau = noise_std / d its noise, a step to the noise s draws each coordinate from a
normal law with

    D + sqrt(1 - eta^2) s (x - D) / s'                    eta s                 d = 0
    D + sqrt(1 - eta^2) s (c - D) / tau                   eta s                 s < tau
    (1 - eta_b) D + eta_b c                   sqrt(s^2 - (eta_b tau)^2)         s >= tau

for mean and std, where D is the x0-prediction and s' the noise before. Given x_0 in place of D each
keeps the marginal N(x_0, s^2). The first step draws from N(c, s^2 - tau^2), and from N(0, s^2) if
d = 0 or s < tau (as the authors' code). Nothing about it is exact but y itself, where there is no
noise and eta_b = 1: D is the expected x_0 of a draw without y, and y enters each coordinate by
itself.

The paper writes it for VE and uses it with VP through x / alpha, and so does this, with every SDE.
"""

import jax
import jax.numpy as jnp

from scoresde_jax.posterior.ladder import ladder
from scoresde_jax.posterior.operators.inverse import divided, known_coordinates
from scoresde_jax.posterior.operators.linear import (
    LinearOperator,
    check_problem,
    check_spectral,
)
from scoresde_jax.sampling.change import denoised
from scoresde_jax.sampling.fixed import fixed_cost
from scoresde_jax.sampling.grids import log_snr_grid
from scoresde_jax.sde import SDE
from scoresde_jax.types import Array, Samples, ScoreFn


def ddrm_sample(
    key: Array,
    sde: SDE,
    score_fn: ScoreFn,
    operator: LinearOperator,
    y: Array,
    shape: tuple[int, ...],
    *,
    noise_std: float,
    steps: int,
    t_min: float,
    eta: float = 0.85,
    eta_b: float = 1.0,
) -> Samples:
    """Draws restorations of y for an operator that has a decomposition, with noise or without.

    Without noise, and with eta_b = 1, A x = y in the end, up to singular values below 1e-4 of the
    largest, which count as 0. Arguments as of `posterior`, and

    Args:
      eta: what part of the noise is drawn anew in a step, 0 to 1: of coordinates that y does not
        tell, or tells with more noise than there is. 0.85 in the paper, for 20 steps.
      eta_b: how far a step goes from D to y in all others, 0 to 1; 1 in the paper.

    Returns:
      Samples with nfe = steps + 1.

    Raises:
      ValueError: eta or eta_b is not in [0, 1].
    """
    check_problem(operator, y, shape, noise_std, steps)
    spectral = check_spectral(operator, "ddrm")
    for name, value in (("eta", eta), ("eta_b", eta_b)):
        if not 0 <= value <= 1:
            raise ValueError(f"{name} is between 0 and 1; it is {value}.")
    levels = ladder(sde, log_snr_grid, steps, t_min)
    s = levels.std / levels.alpha
    seen = known_coordinates(spectral)
    c = divided(spectral, spectral.ut(y))
    tau = noise_std * divided(spectral, jnp.ones_like(c))
    prior_key, start_key, loop_key = jax.random.split(key, 3)

    # The prior is N(0, alpha^2 s^2) or nearly, and the coordinates of white noise are white.
    x = spectral.vt(sde.prior_sample(prior_key, shape)) / levels.alpha[0]
    z = jax.random.normal(start_key, c.shape, c.dtype)
    held = c + jnp.sqrt(jnp.maximum(s[0] ** 2 - tau**2, 0.0)) * z
    x = jnp.where(seen & (s[0] >= tau), held, x)

    def step(x: Array, row: tuple) -> tuple[Array, None]:
        i, t, alpha, start, end = row
        x0 = spectral.vt(denoised(sde, score_fn, alpha * spectral.v(x), t))
        z = jax.random.normal(jax.random.fold_in(loop_key, i), x.shape, x.dtype)
        free = unseen_step(x, x0, z, start, end, eta=eta)
        return jnp.where(seen, seen_step(x0, c, tau, z, end, eta=eta, eta_b=eta_b), free), None

    rows = (jnp.arange(steps + 1), levels.times, levels.alpha[:-1], s[:-1], s[1:])
    x, _ = jax.lax.scan(step, x, rows)
    return fixed_cost(spectral.v(x), steps + 1)


def unseen_step(x: Array, x0: Array, z: Array, start: Array, end: Array, *, eta: float) -> Array:
    """Coordinates of which y says nothing, from the noise `start` to `end`, ()."""
    return x0 + end * ((1 - eta**2) ** 0.5 * (x - x0) / start + eta * z)


def seen_step(
    x0: Array, c: Array, tau: Array, z: Array, end: Array, *, eta: float, eta_b: float
) -> Array:
    """Coordinates of which y says c, with the noise tau, to the noise `end`, ()."""
    off = jnp.where(tau > 0, (c - x0) / jnp.where(tau > 0, tau, 1.0), 0.0)
    below = x0 + end * ((1 - eta**2) ** 0.5 * off + eta * z)
    left = jnp.sqrt(jnp.maximum(end**2 - (eta_b * tau) ** 2, 0.0))
    above = (1 - eta_b) * x0 + eta_b * c + left * z
    return jnp.where(end < tau, below, above)
