"""The Frechet distance has its closed form, and moments are those of the examples."""

import numpy as np
import pytest

from scoresde_jax.evaluation import Moments, frechet_distance, moments, principal_components


def rotation(dims, seed=0):
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(dims, dims)))[0]


def test_of_gaussians_on_common_axes():
    """|m1 - m2|^2 + sum (s1 - s2)^2, whatever the axes."""
    q = rotation(5)
    s1, s2 = np.array([0.0, 0.5, 1, 2, 3]), np.array([1.0, 0.5, 0, 4, 1])
    m1, m2 = np.arange(5.0), np.array([1.0, 1, 4, 3, 2])
    one, other = (Moments(q @ m, (q * s**2) @ q.T) for m, s in ((m1, s1), (m2, s2)))
    wanted = np.sum((m1 - m2) ** 2) + np.sum((s1 - s2) ** 2)
    np.testing.assert_allclose(frechet_distance(one, other), wanted, rtol=1e-6)
    np.testing.assert_allclose(frechet_distance(other, one), wanted, rtol=1e-6)
    np.testing.assert_allclose(frechet_distance(one, one), 0, atol=1e-6)


def test_of_gaussians_on_different_axes():
    """In two dimensions, tr (AB)^(1/2) = sqrt(tr AB + 2 sqrt(det AB))."""
    a = np.diag([4.0, 1.0])
    q = rotation(2, seed=3)
    b = q @ np.diag([9.0, 0.25]) @ q.T
    cross = np.sqrt(np.trace(a @ b) + 2 * np.sqrt(np.linalg.det(a @ b)))
    found = frechet_distance(Moments(np.zeros(2), a), Moments(np.zeros(2), b))
    np.testing.assert_allclose(found, np.trace(a) + np.trace(b) - 2 * cross, rtol=1e-9)


def test_moments_are_the_examples():
    x = np.random.default_rng(0).normal(size=(50, 3)) @ np.diag([1.0, 2, 3]) + 4
    found = moments(x)
    np.testing.assert_allclose(found.mean, x.mean(0))
    np.testing.assert_allclose(found.covariance, np.cov(x.T))
    assert moments(x[:, :1]).covariance.shape == (1, 1)
    with pytest.raises(ValueError, match="two examples or more; got 1"):
        moments(x[:1])


def test_principal_components_hold_the_largest_variances():
    rng = np.random.default_rng(1)
    spread = np.array([5.0, 3.0, 1.0, 0.1])
    images = ((rng.normal(size=(400, 4)) * spread) @ rotation(4).T + 7).reshape(400, 2, 2, 1)
    projection = principal_components(images, 2)
    features = projection.features(images)
    assert features.shape == (400, 2)
    np.testing.assert_allclose(features.mean(0), 0, atol=1e-9)
    covariance = np.cov(features.T)
    np.testing.assert_allclose(covariance[0, 1], 0, atol=1e-9)
    # The sample's own variances, in order.
    own = np.linalg.eigvalsh(np.cov(images.reshape(400, 4).T))[::-1][:2]
    np.testing.assert_allclose(np.diag(covariance), own, rtol=1e-9)
    assert principal_components(images, 10).axes.shape == (4, 4)
