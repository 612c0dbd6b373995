"""What the 2021 code does and ours does not, recreated so that its arrays can be compared.

Only the checks of this folder use it. README.md lists every array that needs it, and why.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import scipy.integrate

from scoresde_jax.posterior import decouple_gray, recouple_gray
from scoresde_jax.sde import SDE, VESDE, VPSDE, SubVPSDE, chain_index
from scoresde_jax.types import Array, bcast, register_pytree


@register_pytree
@dataclass(frozen=True)
class RoundedVPSDE(VPSDE):
    """VP with std = sqrt(1 - exp(2c)) in float32, which loses digits at small t.

    In the chain 1 - alphabar_i loses them at small i, and f_i = sqrt(alpha_i) x - x everywhere.
    """

    def drift(self, x: Array, t: Array) -> Array:
        # Equal to ours but where x stands in a sum: the last digit decides about a solver's steps.
        return -0.5 * (bcast(self.beta(t), x) * x)

    def marginal(self, x0: Array, t: Array) -> tuple[Array, Array]:
        c = self.log_mean_coefficient(t)
        return bcast(jnp.exp(c), x0) * x0, jnp.sqrt(1 - jnp.exp(2 * c))

    def chain_beta(self, t: Array, n: int) -> Array:
        return jnp.linspace(self.beta_min / n, self.beta_max / n, n)[chain_index(t, n)]

    def chain_alpha_bars(self, n: int) -> Array:
        return jnp.cumprod(1 - jnp.linspace(self.beta_min / n, self.beta_max / n, n))

    def discretize(self, x: Array, t: Array, n: int) -> tuple[Array, Array]:
        return bcast(jnp.sqrt(self.chain_alpha(t, n)), x) * x - x, jnp.sqrt(self.chain_beta(t, n))


@register_pytree
@dataclass(frozen=True)
class RoundedSubVPSDE(SubVPSDE):
    """Sub-VP with std = 1 - exp(2c) and g^2 = beta (1 - exp(4c)) in float32."""

    def drift(self, x: Array, t: Array) -> Array:
        return RoundedVPSDE(self.beta_min, self.beta_max).drift(x, t)

    def marginal(self, x0: Array, t: Array) -> tuple[Array, Array]:
        c = VPSDE(self.beta_min, self.beta_max).log_mean_coefficient(t)
        return bcast(jnp.exp(c), x0) * x0, 1 - jnp.exp(2 * c)

    def diffusion(self, t: Array) -> Array:
        spread = self.beta_max - self.beta_min
        vp = VPSDE(self.beta_min, self.beta_max)
        return jnp.sqrt(vp.beta(t) * (1 - jnp.exp(-2 * self.beta_min * t - spread * t**2)))


@register_pytree
@dataclass(frozen=True)
class RoundedVESDE(VESDE):
    """VE with G_i = sqrt(sigma_i^2 - sigma_{i-1}^2) in float32, from a table of sigmas."""

    def chain_sigmas(self, t: Array, n: int) -> tuple[Array, Array]:
        # The original's numpy makes the table, so that the two ends have to be plain numbers.
        sigmas = jnp.exp(np.linspace(np.log(self.sigma_min), np.log(self.sigma_max), n))
        i = chain_index(t, n)
        return sigmas[i], jnp.where(i == 0, 0.0, sigmas[i - 1])

    def discretize(self, x: Array, t: Array, n: int) -> tuple[Array, Array]:
        sigma, below = self.chain_sigmas(t, n)
        return jnp.zeros_like(x), jnp.sqrt(sigma**2 - below**2)

    def ancestral(self, x: Array, score: Array, t: Array, n: int) -> tuple[Array, Array]:
        sigma, below = self.chain_sigmas(t, n)
        step = sigma**2 - below**2
        return x + bcast(step, x) * score, jnp.sqrt(below**2 * step / sigma**2)


OURS = {"VPSDE": VPSDE, "subVPSDE": SubVPSDE, "VESDE": VESDE}
ROUNDED = {"VPSDE": RoundedVPSDE, "subVPSDE": RoundedSubVPSDE, "VESDE": RoundedVESDE}


def digits_left(sde: SDE, t: Array) -> Array:
    """Where the original's float32 1 - exp(2c) keeps five digits; VE takes no such difference."""
    return (sde.marginal(jnp.ones(t.shape), t)[1] > 0.15) | isinstance(sde, VESDE)


def chain_rounding(sde: SDE, n: int) -> float:
    """How far G_i of our VE chain may be from the original's; 0 for other SDEs.

    Both take sigma_i^2 - sigma_{i-1}^2, of sigmas that are good to 4e-7.
    """
    if not isinstance(sde, VESDE):
        return 0.0
    return 2.0**-19 / (1 - (sde.sigma_min / sde.sigma_max) ** (2 / max(n - 1, 1)))


def sdes(name: str, settings: dict) -> tuple[SDE, SDE, int]:
    """Our SDE, the one with the original's rounding, and the length N of its chain."""
    numbers = {key: float(value) for key, value in settings.items() if key != "N"}
    return OURS[name](**numbers), ROUNDED[name](**numbers), int(settings.get("N", 1000))


def noisy_where_unknown(x: Array, x_mean: Array, mask: Array) -> Array:
    """x_mean as the 2021 inpainting returned it: free of noise in known coordinates only."""
    return jnp.where(mask, x_mean, x)


def start(prior: Array, known: Array, mask: Array) -> Array:
    """Where the 2021 inpainting started: from known pixels without noise, at t = 1."""
    return prior * (1 - mask) + known * mask


def gray_start(prior: Array, gray: Array) -> Array:
    """Where the 2021 colourisation started: known grey values, and the prior without its red.

    The mask of the grey coordinate was applied to the channels of the image.
    """
    mask = jnp.array([1.0, 0.0, 0.0])
    return recouple_gray(decouple_gray(gray) * mask + decouple_gray(prior * (1 - mask)))


def solve(field: Callable, start: Sequence[Array], t0: float, t1: float, **options):
    """scipy's solver on a whole batch as one system, with one step size for all.

    Args:
      field: (t (B,), *arrays) -> their derivatives, in float32; the state is in float64.
      start: arrays (B, ...).
      options: of `scipy.integrate.solve_ivp`.

    Returns:
      The arrays at t1, float32, and the number of evaluations of the field.
    """
    shapes = [array.shape for array in start]
    ends = np.cumsum([math.prod(shape) for shape in shapes])[:-1]

    def split(y: np.ndarray) -> list[np.ndarray]:
        parts = zip(np.split(y, ends), shapes, strict=True)
        return [part.reshape(shape).astype(np.float32) for part, shape in parts]

    def join(arrays: Sequence[Array]) -> np.ndarray:
        return np.concatenate([np.ravel(array) for array in arrays]).astype(np.float64)

    def slope(t: float, y: np.ndarray) -> np.ndarray:
        return join(field(np.full(shapes[0][:1], t, np.float32), *split(y)))

    solution = scipy.integrate.solve_ivp(slope, (t0, t1), join(start), **options)
    return split(solution.y[:, -1]), solution.nfev


def value_and_divergence(field: Callable[[Array], Array], x: Array, v: Array):
    """A field at x and v^T J v, (B,), by reverse mode; equal to ours but for the last digit."""
    value, pull = jax.vjp(field, x)
    return value, jnp.sum((pull(v)[0] * v).reshape(x.shape[0], -1), axis=-1)
