"""The exact posterior is Bayes' rule summed over a grid; the score the slope of a density."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gaussian import DEFAULTS, correlated, default_sde

from scoresde_jax.posterior.exact import gaussian, mixture

MEANS = np.array([[0.6, -0.2], [-0.7, 0.5]])
COVARIANCES = np.array([[[0.3, 0.1], [0.1, 0.2]], [[0.1, -0.05], [-0.05, 0.4]]])
PRIOR = mixture(np.array([0.6, 0.4]), MEANS, COVARIANCES)
LINE = np.linspace(-6, 6, 601)
PLANE = np.stack(np.meshgrid(LINE, LINE), -1).reshape(-1, 2)


def density(x):
    total = 0.0
    for w, m, c in zip(PRIOR.weight, MEANS, COVARIANCES, strict=True):
        square = np.einsum("ni,ij,nj->n", x - m, np.linalg.inv(c), x - m)
        total = total + w * np.exp(-0.5 * square) / (2 * np.pi * np.sqrt(np.linalg.det(c)))
    return total


def moments(weight):
    weight = weight / weight.sum()
    mean = weight @ PLANE
    return mean, (PLANE - mean).T @ ((PLANE - mean) * weight[:, None])


def test_moments_of_the_prior():
    for ours, found in zip(PRIOR.moments(), moments(density(PLANE)), strict=True):
        np.testing.assert_allclose(ours, found, atol=1e-9)


@pytest.mark.parametrize(
    ("matrix", "y"),
    [
        ([[1.0, 0.5]], [0.3]),
        ([[1.0, 0.5], [0.2, -0.4]], [0.3, 0.1]),
        ([[1.0, 0.5], [1.0, 0.5], [0.0, 0.0]], [0.3, 0.7, 0.2]),  # told twice, and nothing
    ],
)
def test_posterior(matrix, y):
    matrix, y = np.array(matrix), np.array(y)
    residual = (y - PLANE @ matrix.T) / 0.3
    weight = density(PLANE) * np.exp(-0.5 * np.sum(residual**2, axis=-1))
    found = PRIOR.posterior(matrix, y, 0.3).moments()
    for ours, expected in zip(found, moments(weight), strict=True):
        np.testing.assert_allclose(ours, expected, atol=1e-9)


def test_posterior_without_noise_is_the_limit_of_little():
    matrix, y = np.array([[1.0, 0.5], [2.0, 1.0]]), np.array([0.3, 0.6])
    exact = PRIOR.posterior(matrix, y, 0.0)
    near = PRIOR.posterior(matrix, y, 1e-5)
    for a, b in zip(exact.moments(), near.moments(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-8)
    np.testing.assert_allclose(matrix @ exact.moments()[0], y, atol=1e-12)
    np.testing.assert_allclose(matrix @ exact.moments()[1], 0, atol=1e-12)


def test_draws_have_the_moments():
    x = PRIOR.draw(0, 40_000)
    mean, covariance = PRIOR.moments()
    # 5 standard errors of 40,000 draws with a std below 0.9.
    np.testing.assert_allclose(x.mean(axis=0), mean, atol=5 * 0.9 / 200)
    np.testing.assert_allclose(np.cov(x.T), covariance, atol=5 * 0.9 * 2**0.5 / 200)


@default_sde
def test_score_of_a_gaussian(sde):
    data = correlated((2, 2, 3))
    covariance = (data.basis * data.std.astype(float) ** 2) @ data.basis.T
    prior = gaussian(data.mean.ravel(), covariance)
    x, t = jax.random.normal(jax.random.key(0), (4, 2, 2, 3)), jnp.array([0.1, 0.3, 0.6, 1.0])
    expected = data.score(sde, x, t)
    # Axes of std 0.1 and 2: float32 to 1e-7 times what they differ by.
    np.testing.assert_allclose(prior.score(sde, x, t), expected, rtol=2e-4, atol=1e-4)


@pytest.mark.parametrize("t", [0.01, 0.4])
def test_score_of_a_mixture(t):
    """By differences of log p_t, which for VP is that of a mixture too."""
    sde = DEFAULTS["vp"]
    alpha, sigma = (float(a) for a in sde.marginal(jnp.ones(()), jnp.asarray(t)))
    noised = alpha**2 * COVARIANCES + sigma**2 * np.eye(2)

    def logp(x):
        parts = []
        for w, m, c in zip(PRIOR.weight, MEANS, noised, strict=True):
            square = (x - alpha * m) @ np.linalg.inv(c) @ (x - alpha * m)
            parts.append(w * np.exp(-0.5 * square) / np.sqrt(np.linalg.det(c)))
        return np.log(sum(parts))

    x, h = np.array([0.2, 0.4]), 1e-5
    expected = [(logp(x + h * e) - logp(x - h * e)) / (2 * h) for e in np.eye(2)]
    found = PRIOR.score(sde, jnp.asarray(x, jnp.float32).reshape(1, 1, 1, 2), jnp.asarray(t))
    np.testing.assert_allclose(found.ravel(), expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("weight", "mean", "covariance", "message"),
    [
        ([1.0], np.zeros((1, 2)), np.eye(2), "covariances"),
        ([0.5, 0.4], MEANS, COVARIANCES, "sum to 1"),
        ([1.0], np.zeros((1, 2)), [[[1.0, 2.0], [2.0, 1.0]]], "negative along no axis"),
        ([1.0], np.zeros((1, 2)), [[[1.0, 0.5], [0.0, 1.0]]], "symmetric"),
    ],
)
def test_bad_input(weight, mean, covariance, message):
    with pytest.raises(ValueError, match=message):
        mixture(weight, mean, covariance)
