"""Discrete images as points of unit cells: noise u with a known density, and the bound it gives.

    P(y) = integral of p(y + u) over u in (0, 1)^D
    log P(y) >= E_q[log p(y + u) - log q(u | y)]                 (Ho et al. 2019, section 3.1)
    log P(y) >= E_q[log mean_k exp(log p(y + u_k) - log q(u_k | y))] (Burda et al. 2016)

y are the levels 0 .. levels-1 and p the density of y + u; x = (y + u) / levels.  A dequantizer is
any function of (keys, y) to `Noise`: bind what else it takes with ``functools.partial``.

    none              no noise, for data without levels
    uniform           q = 1
    truncated_normal  N(1/2, std^2) within the cell: the noise that the diffusion has at t_min
    learned           q of a flow (`models/dequantizer.py`)

Keys are one per example, (B,) typed: an example's noise does not depend on its batch mates.

Not here: densities of x (`flow.py`), bits per dimension (`bits.py`).
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.special import erf, erfinv, logsumexp

from scoresde_jax.data.preprocess import center, dequantize, quantized_unit
from scoresde_jax.types import Array

# (eps (B, H, W, C) normal, image (B, H, W, C) in [-1, 1]) -> u in (0, 1), log |det du/deps| (B,)
Flow = Callable[[Array, Array], tuple[Array, Array]]

# u keeps 2^-16 from 0 and 1, as that of `preprocess.dequantize`: y + u stays in its level.
HALF_CELL = 0.5 - 2.0**-16


class Noise(NamedTuple):
    """What a dequantizer returns."""

    u: Array  # (B, H, W, C) in (0, 1)
    logq: Array  # (B,) nats, the log-density of u given the image


Dequantizer = Callable[[Array, Array], Noise]  # (keys (B,), y (B, H, W, C)) -> Noise


def uniform(keys: Array, y: Array) -> Noise:
    """Noise of density 1: the u of `preprocess.dequantize` for the same keys, and log q = 0.

    Args:
      keys: (B,) typed.
      y: (B, H, W, C) integers.
    """
    u = dequantize(keys, jnp.zeros_like(y), levels=1)
    return Noise(u, jnp.zeros(y.shape[0]))


def none(keys: Array, y: Array) -> Noise:
    """No noise and log q = 0, for data that are continuous: P is then their density.

    Args:
      keys: (B,) typed, not used.
      y: (B, H, W, C) of any dtype.
    """
    del keys
    return Noise(jnp.zeros(y.shape, jnp.float32), jnp.zeros(y.shape[0]))


def truncated_normal(keys: Array, y: Array, *, std: float) -> Noise:
    """Normal noise about the middle of the cell, truncated to it.

    u = 1/2 + std eps,  log q = sum of -eps^2 / 2 - log(sqrt(2 pi) std Z),  Z = P(u in cell)

    (Zheng et al. 2023, "Improved Techniques for Maximum Likelihood Estimation for Diffusion ODEs",
    where std is the noise of x at t_min.)  The cell is [2^-16, 1 - 2^-16] here, which costs 4.4e-5
    bits per dimension at most.

    Args:
      keys: (B,) typed.
      y: (B, H, W, C) integers.
      std: in levels, positive: levels sigma / (2 alpha) for x in [-1, 1] and alpha x + sigma z.
        A large one gives uniform noise.
    """
    inside = erf(HALF_CELL / (math.sqrt(2) * std))

    def draw(key: Array) -> Array:
        # -1 itself would be carried to the edge of the cell, and from there to a huge 1 / q.
        low = jnp.nextafter(jnp.float32(-1), jnp.float32(0))
        return jax.random.uniform(key, y.shape[1:], minval=low, maxval=1.0)

    eps = math.sqrt(2) * erfinv(inside * jax.vmap(draw)(keys))
    offset = jnp.clip(std * eps, -HALF_CELL, HALF_CELL)  # rounding may pass the edge
    logq = -jnp.square(offset / std) / 2 - jnp.log(math.sqrt(2 * math.pi) * std * inside)
    return Noise(0.5 + offset, _sum_per_example(logq))


def learned(keys: Array, y: Array, *, flow: Flow, levels: int) -> Noise:
    """Noise of a conditional flow: u = flow(eps, y),  log q = log N(eps; 0, I) - log |det du/deps|.

    u and log q are differentiable in the flow's parameters, eps being drawn first.

    Args:
      keys: (B,) typed.
      y: (B, H, W, C) integers in 0 .. levels-1.
      flow: a `models.DequantizationFlow` with its parameters; it is given y scaled to [-1, 1].
    """
    eps = jax.vmap(lambda key: jax.random.normal(key, y.shape[1:]))(keys)
    u, log_det = flow(eps, center(quantized_unit(y, levels=levels)))
    log_normal = _sum_per_example(-jnp.square(eps) / 2 - math.log(2 * math.pi) / 2)
    return Noise(u, log_normal - log_det)


def importance_weighted(logw: Array) -> Array:
    """The bound that K draws give together: log mean_k w_k; K = 1 is the plain bound.

    Its expectation grows with K to log P(y) (Burda et al. 2016, theorem 1).

    Args:
      logw: (B, K) log p(y + u_k) - log q(u_k | y), nats.

    Returns:
      (B,) nats.
    """
    return logsumexp(logw, axis=1) - math.log(logw.shape[1])


def _sum_per_example(x: Array) -> Array:
    return x.reshape(x.shape[0], -1).sum(axis=1)
