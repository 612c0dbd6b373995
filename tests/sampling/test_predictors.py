"""One step of each predictor is the formula in its docstring."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gaussian import DEFAULTS, default_sde

from scoresde_jax.sampling import (
    ancestral,
    euler,
    euler_maruyama,
    probability_flow,
    reverse_diffusion,
)

X = jnp.asarray([[1.7, -0.4], [0.3, 2.0]])
T = jnp.asarray([0.35, 0.9])
N = 50
BATCH = 20_000


def score_fn(x, t):
    """Of no distribution; the formulas hold for any."""
    return jnp.sin(x) - 0.3


def parts(sde):
    """f, g^2, f_i, G_i^2 and the score at X, T, as plain numpy columns."""
    f_i, G = sde.discretize(X, T, N)
    g2, G2 = (np.asarray(v, np.float64)[:, None] ** 2 for v in (sde.diffusion(T), G))
    return np.asarray(sde.drift(X, T)), g2, np.asarray(f_i), G2, np.asarray(score_fn(X, T))


def expected(sde):
    """predictor: mean and variance of its step."""
    f, g2, f_i, G2, s = parts(sde)
    return {
        euler_maruyama: (X - (f - g2 * s) / N, g2 / N),
        euler: (X - (f - g2 * s / 2) / N, 0 * g2),
        reverse_diffusion: (X - f_i + G2 * s, G2),
        probability_flow: (X - f_i + G2 * s / 2, 0 * g2),
    }


@default_sde
@pytest.mark.parametrize("predictor", [euler_maruyama, euler, reverse_diffusion, probability_flow])
def test_step_has_its_mean_and_its_noise(sde, predictor):
    mean, variance = expected(sde)[predictor]
    update = predictor(jax.random.key(0), sde, score_fn, X, T, n=N)
    assert update.nfe == 1
    # Float32; terms as large as g^2 / n, 400 for VE, cancel.
    np.testing.assert_allclose(update.x_mean, mean, rtol=1e-5, atol=1e-5)
    many = predictor(
        jax.random.key(1),
        sde,
        score_fn,
        jnp.repeat(X, BATCH // 2, axis=0),
        jnp.repeat(T, BATCH // 2),
        n=N,
    )
    noise = np.asarray(many.x - many.x_mean).reshape(2, -1)
    # 20,000 draws per row: 5 standard errors of a standard deviation are 2.5 %.
    np.testing.assert_allclose(noise.std(axis=1), np.sqrt(variance[:, 0]), rtol=0.025)


@pytest.mark.parametrize("name", ["ve", "vp"])
def test_ancestral_takes_the_step_of_the_sde(name):
    sde = DEFAULTS[name]
    mean, std = sde.ancestral(X, score_fn(X, T), T, N)
    key = jax.random.key(0)
    update = ancestral(key, sde, score_fn, X, T, n=N)
    np.testing.assert_allclose(update.x_mean, mean, rtol=1e-6)
    scaled = (update.x - mean) / std[:, None]
    np.testing.assert_allclose(scaled, jax.random.normal(key, X.shape), rtol=1e-3, atol=1e-4)
    assert update.nfe == 1
