"""score_flow's SDEs as its 2021 code evaluates them: in float32, linear where B(t) is small.

    B(t) = integral of beta from 0 to t;  VP: std^2 = 1 - e^-B;  sub-VP: std = 1 - e^-B

Ours takes expm1; README.md lists the arrays that need this file, and why.
"""

from dataclasses import dataclass

import jax.numpy as jnp

from scoresde_jax.sde import SDE, VESDE, VPSDE, SubVPSDE
from scoresde_jax.types import Array, bcast, register_pytree

BRANCH = 1e-3  # up to here the original takes e^x - 1 for x


def one_minus_exp(x: Array) -> Array:
    """1 - e^x as the original has it."""
    return jnp.where(jnp.abs(x) <= BRANCH, -x, 1 - jnp.exp(x))


@register_pytree
@dataclass(frozen=True)
class LinearVPSDE(VPSDE):
    """VP, linear in c = -B / 2 where that is small."""

    def marginal(self, x0: Array, t: Array) -> tuple[Array, Array]:
        c = self.log_mean_coefficient(t)
        small = jnp.abs(c) <= BRANCH
        mean = jnp.where(small, 1 + c, jnp.exp(c))
        return bcast(mean, x0) * x0, jnp.sqrt(jnp.where(small, -2 * c, 1 - jnp.exp(2 * c)))


@register_pytree
@dataclass(frozen=True)
class LinearSubVPSDE(SubVPSDE):
    """Sub-VP, linear in c = -B / 2 where that is small."""

    def marginal(self, x0: Array, t: Array) -> tuple[Array, Array]:
        mean, std = LinearVPSDE(self.beta_min, self.beta_max).marginal(x0, t)
        return mean, std**2

    def diffusion(self, t: Array) -> Array:
        vp = VPSDE(self.beta_min, self.beta_max)
        return jnp.sqrt(vp.beta(t) * one_minus_exp(4 * vp.log_mean_coefficient(t)))


def linear(sde: SDE) -> SDE:
    """The same SDE as score_flow has it; its VE is ours."""
    if isinstance(sde, VESDE):
        return sde
    of = LinearVPSDE if isinstance(sde, VPSDE) else LinearSubVPSDE
    return of(sde.beta_min, sde.beta_max)


def cum_weight(sde: SDE, t: Array, t_min: float) -> Array:
    """The integral of g^2 / std^2 from t_min to t, in the original's closed form."""
    if isinstance(sde, VESDE):
        return 2 * jnp.log(sde.sigma_max / sde.sigma_min) * (t - t_min)

    def integral(t: Array) -> Array:
        B = -2 * VPSDE(sde.beta_min, sde.beta_max).log_mean_coefficient(jnp.asarray(t))
        if isinstance(sde, VPSDE):
            return jnp.log(one_minus_exp(-B)) + B
        return 2 * jnp.log(-one_minus_exp(B)) - B

    return integral(t) - integral(t_min)


def bisected_time(sde: SDE, weight: Array, t_min: float, steps: int = 100) -> Array:
    """The time up to which `cum_weight` is this, found by halving [t_min, 1] in float32."""
    low, high = jnp.full_like(weight, t_min), jnp.ones_like(weight)
    for _ in range(steps):
        middle = (low + high) / 2
        below = cum_weight(sde, middle, t_min) <= weight
        low, high = jnp.where(below, middle, low), jnp.where(below, high, middle)
    return (low + high) / 2
