"""Data whose score is known at every t and whose flow is curved: a mixture of Gaussians.

x_0 ~ sum of weight_k N(mean_k, std_k^2 I)   gives   x_t ~ sum of weight_k N(m mean_k, v_k I)  with
v_k = m^2 std_k^2 + s^2, where m and s are the mean coefficient and the std of `sde.marginal`.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from scipy.integrate import solve_ivp

from scoresde_jax.sde import ode_drift
from scoresde_jax.types import register_pytree


@register_pytree
@dataclass(frozen=True)
class Mixture:
    """The law of x_0. A pytree, as the SDEs are: one compilation serves all data of one shape."""

    weight: np.ndarray  # (K,), sums to 1
    mean: np.ndarray  # (K, dims)
    std: np.ndarray  # (K,)

    def _terms(self, sde, x, t):
        """log of weight_k N(x; k) (B, K), means (B, K, dims), variances (B, K); t is () or (B,)."""
        t = jnp.broadcast_to(jnp.asarray(t, x.dtype), x.shape[:1])
        m, s = sde.marginal(jnp.ones_like(t), t)
        mean = m[:, None, None] * self.mean
        variance = (m[:, None] * self.std) ** 2 + s[:, None] ** 2
        square = jnp.sum((x[:, None] - mean) ** 2, axis=-1)
        normalizer = 0.5 * x.shape[-1] * jnp.log(2 * jnp.pi * variance)
        return jnp.log(self.weight) - 0.5 * square / variance - normalizer, mean, variance

    def logp(self, sde, x, t):
        """log p_t(x), (B,) nats; x is (B, dims)."""
        return jax.nn.logsumexp(self._terms(sde, x, t)[0], axis=-1)

    def score(self, sde, x, t):
        """grad_x log p_t(x), shape of x."""
        terms, mean, variance = self._terms(sde, x, t)
        pull = (mean - x[:, None]) / variance[..., None]
        return jnp.sum(jax.nn.softmax(terms, axis=-1)[..., None] * pull, axis=1)

    def score_fn(self, sde):
        """The score as samplers take it."""
        return lambda x, t: self.score(sde, x, t)


# Three modes that are apart, so that the flow bends; and three that overlap, so that it is smooth.
APART = Mixture(
    np.array([0.5, 0.3, 0.2]),
    np.array([[0.7, 0.2], [-0.5, 0.6], [-0.1, -0.8]]),
    np.array([0.2, 0.3, 0.25]),
)
SMOOTH = Mixture(APART.weight, APART.mean, np.array([0.5, 0.6, 0.4]))
# Three modes that are one: a Gaussian, in the shapes of the others.
GAUSSIAN = Mixture(APART.weight, np.full((3, 2), [0.4, -0.3]), np.full(3, 0.5))


@jax.jit
def _rate(sde, data, x, t):
    return ode_drift(sde, data.score_fn(sde), x, jnp.full(x.shape[:1], t))


def flow(sde, data, x, times):
    """The probability flow through x (B, dims) at times[0], at all times, (T, B, dims).

    scipy's DOP853 on dx/dt itself, so that nothing of the samplers' algebra is in it. To 1e-10 with
    64-bit numbers enabled.
    """

    def step(x, t0, t1):
        def f(t, y):
            return np.asarray(_rate(sde, data, y.reshape(x.shape), t)).reshape(-1)

        solved = solve_ivp(f, (t0, t1), x.reshape(-1), method="DOP853", rtol=1e-11, atol=1e-12)
        return solved.y[:, -1].reshape(x.shape)

    found, times = [np.asarray(x)], [float(t) for t in times]
    for t0, t1 in zip(times[:-1], times[1:], strict=True):
        found.append(step(found[-1], t0, t1))
    return np.stack(found)
