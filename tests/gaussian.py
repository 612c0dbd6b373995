"""Data whose score is known at every t: a Gaussian, seen through any SDE.

x_0 ~ N(mean, Q diag(std^2) Q^T)  gives  x_t ~ N(m mean, Q diag(m^2 std^2 + s^2) Q^T), where m and s
are the mean coefficient and the standard deviation of `sde.marginal`.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scoresde_jax.sde import VESDE, VPSDE, LinearVESDE, SubVPSDE
from scoresde_jax.types import register_pytree

SDES = {
    "ve": VESDE(),
    "ve-other": VESDE(0.05, 10.0),
    "vp": VPSDE(),
    "vp-other": VPSDE(0.3, 12.0),
    "subvp": SubVPSDE(),
    "subvp-other": SubVPSDE(0.3, 12.0),
    "linear_ve": LinearVESDE(20.0),
    "linear_ve-other": LinearVESDE(10.0),
}
DEFAULTS = {name: sde for name, sde in SDES.items() if "-" not in name}

every_sde = pytest.mark.parametrize("sde", SDES.values(), ids=SDES)
default_sde = pytest.mark.parametrize("sde", DEFAULTS.values(), ids=DEFAULTS)


@register_pytree
@dataclass(frozen=True)
class Gaussian:
    """The law of x_0; `std` is along the columns of the orthogonal matrix `basis`.

    A pytree, as the SDEs are: one compilation serves all data of one shape.
    """

    mean: np.ndarray  # (H, W, C)
    std: np.ndarray  # (dims,)
    basis: np.ndarray  # (dims, dims)

    def marginal(self, sde, t):
        """Mean (B, dims) in the basis and variance (B, dims) of x_t; t is (B,)."""
        m, s = sde.marginal(jnp.ones((t.shape[0], 1)), t)
        return m * (self.mean.reshape(-1) @ self.basis), (m * self.std) ** 2 + s[:, None] ** 2

    def score(self, sde, x, t):
        """grad_x log p_t(x), shape of x."""
        mean, variance = self.marginal(sde, jnp.broadcast_to(t, x.shape[:1]))
        y = (mean - x.reshape(x.shape[0], -1) @ self.basis) / variance
        return (y @ self.basis.T).reshape(x.shape)

    def score_fn(self, sde):
        """The score as samplers and losses take it."""
        return lambda x, t: self.score(sde, x, t)

    def logp(self, sde, x, t):
        """log p_t(x), (B,) nats; t is a float."""
        mean, variance = self.marginal(sde, jnp.full(x.shape[:1], t))
        square = (x.reshape(x.shape[0], -1) @ self.basis - mean) ** 2
        return -0.5 * jnp.sum(square / variance + jnp.log(2 * jnp.pi * variance), axis=-1)

    def sample(self, sde, key, batch, t):
        """(B, H, W, C) draws from p_t; t is a float."""
        mean, variance = self.marginal(sde, jnp.full((batch,), t))
        y = mean + jnp.sqrt(variance) * jax.random.normal(key, mean.shape)
        return (y @ self.basis.T).reshape(batch, *self.mean.shape)


def diagonal(shape, low=0.5, high=1.0):
    """Independent pixels; mean and standard deviation differ from pixel to pixel."""
    dims = int(np.prod(shape))
    mean = np.linspace(-0.6, 0.8, dims, dtype=np.float32).reshape(shape)
    std = np.linspace(high, low, dims, dtype=np.float32)
    return Gaussian(mean, std, np.eye(dims, dtype=np.float32))


def isotropic(shape, std=0.5):
    """Independent pixels of one standard deviation."""
    return diagonal(shape, std, std)


def correlated(shape):
    """Pixels with every pair correlated, axes drawn at random."""
    start = diagonal(shape, 0.1, 2.0)
    noise = np.random.default_rng(0).normal(size=start.basis.shape)
    return Gaussian(start.mean, start.std, np.linalg.qr(noise)[0].astype(np.float32))


def point(x0):
    """No spread at all: x_0 is always x0 (H, W, C)."""
    return Gaussian(np.asarray(x0, np.float32), np.zeros(x0.size, np.float32), np.eye(x0.size))
