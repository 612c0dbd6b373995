"""The bound of a Gaussian under a factor times its exact score, in closed form, float64.

Per axis of the data, std s + z = b + a z with a = 1 - factor std^2 / v and
b = factor std (mean - alpha x0) / v, so that |std s + z|^2 has known mean and variance, and the
reverse SDE keeps the prior Gaussian, so that the density that is bounded is known as well.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy import integrate


class Path(NamedTuple):
    """What the SDE does to the data, float64, at times even in log t."""

    t: np.ndarray  # (n,), odd n, from t_min to 1
    alpha: np.ndarray  # (n,) mean coefficient
    std: np.ndarray
    slope: np.ndarray  # (n,) f(x, t) / x
    g: np.ndarray
    mean: np.ndarray  # (n, dims) of x_t, along the axes of the data
    variance: np.ndarray
    prior_std: float

    def residual(self, factor, y):
        """a (n, dims) and b^2 (n, B, dims) of std s + z = b + a z for x0 = y (B, dims)."""
        gain = factor * self.std[:, None] / self.variance
        shift = self.mean[:, None] - self.alpha[:, None, None] * y
        return 1 - gain * self.std[:, None], (gain[:, None] * shift) ** 2


def path_of(sde, data, t_min):
    with jax.enable_x64(True):
        t = jnp.geomspace(t_min, 1.0, 601, dtype=jnp.float64)
        alpha, std = sde.marginal(jnp.ones_like(t), t)
        slope, g = sde.drift(jnp.ones_like(t), t), sde.diffusion(t)
        at_0, at_1 = sde.prior_logp(jnp.array([[0.0], [1.0]]))
        prior_std = float(1 / jnp.sqrt(2 * (at_0 - at_1)))
        t, alpha, std, slope, g = map(np.asarray, (t, alpha, std, slope, g))
    mean = np.outer(alpha, axes(data, data.mean[None])[0])
    variance = np.outer(alpha**2, np.float64(data.std) ** 2) + std[:, None] ** 2
    return Path(t, alpha, std, slope, g, mean, variance, prior_std)


def axes(data, x):
    """x (B, ...) along the axes of the data, float64 (B, dims)."""
    return np.float64(x).reshape(len(x), -1) @ np.float64(data.basis)


def over_time(path, values):
    """Integral of values (n, ...) from t_min to 1."""
    weights = path.t.reshape(-1, *[1] * (values.ndim - 1))
    return integrate.simpson(values * weights, x=np.log(path.t), axis=0)


def mean_square(path, factor, y):
    """E|std s + z|^2, (n, B)."""
    a, b2 = path.residual(factor, y)
    return np.sum(a[:, None] ** 2 + b2, axis=-1)


def expected_ends(path, factor, y):
    """The terms of the prior and of the decoder, (B,) nats."""
    ratio = path.std[-1] / path.prior_std
    prior = y.shape[-1] * (ratio**2 - 1 - 2 * np.log(ratio))
    prior = prior + np.sum((path.alpha[-1] * y / path.prior_std) ** 2, axis=-1)
    scale = 2 * np.pi * (path.std[0] / path.alpha[0]) ** 2
    return 0.5 * (prior + mean_square(path, factor, y)[0] + y.shape[-1] * np.log(scale))


def expected_bound(path, factor, y):
    """The mean of `logp`, (B,) nats."""
    rate = (path.g / path.std)[:, None] ** 2
    integral = over_time(path, rate * mean_square(path, factor, y)) / 2
    return -expected_ends(path, factor, y) - integral


def model_logp(path, factor, y):
    """The density that is bounded, (B,) nats: mean and variance go from the prior to the data.

    Reverse in time, dx = (slope x + factor g^2 (x - mean) / v) dt; Runge-Kutta 4 in log t.
    """
    dims = y.shape[-1]
    pull = factor * path.g[:, None] ** 2 / path.variance
    rate = path.t[:, None] * (path.slope[:, None] + pull)
    force = path.t[:, None] * pull * path.mean
    noise = (path.t * path.g**2)[:, None]

    def change(i, state):
        return np.stack([rate[i] * state[0] - force[i], 2 * rate[i] * state[1] - noise[i]])

    state = np.stack([np.zeros(dims), np.full(dims, path.prior_std**2)])
    h = 2 * np.log(path.t[0] / path.t[1])
    for i in range(len(path.t) - 1, 0, -2):
        k1 = change(i, state)
        k2 = change(i - 1, state + h / 2 * k1)
        k3 = change(i - 1, state + h / 2 * k2)
        k4 = change(i - 2, state + h * k3)
        state = state + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    # The decoder: x0 = (x + std^2 s) / alpha + (std / alpha) noise.
    weight = factor * path.std[0] ** 2 / path.variance[0]
    mean = ((1 - weight) * state[0] + weight * path.mean[0]) / path.alpha[0]
    variance = ((1 - weight) ** 2 * state[1] + path.std[0] ** 2) / path.alpha[0] ** 2
    return -0.5 * np.sum((y - mean) ** 2 / variance + np.log(2 * np.pi * variance), axis=-1)


def draw_variances(path, y):
    """Variance of one denoising draw for x0 = y (1, dims), exact score: total, and at fixed times.

    Of rate (1 - t_min) square / 2 at uniform times, and of mass square / 2 at those of importance.
    """
    a, b2 = path.residual(1.0, y)
    mean = np.sum(a**2 + b2[:, 0], axis=-1)
    within = np.sum(2 * a**4 + 4 * a**2 * b2[:, 0], axis=-1)
    rate = (path.g / path.std) ** 2
    mass, integral = over_time(path, rate), over_time(path, rate * mean) / 2
    uniform = (1 - path.t[0]) * over_time(path, rate**2 * (within + mean**2)) / 4 - integral**2
    importance = mass * over_time(path, rate * (within + mean**2)) / 4 - integral**2
    return uniform, importance, mass * over_time(path, rate * within) / 4
