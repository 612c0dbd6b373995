"""The Frechet distance has its closed form, also where covariances are singular."""

import numpy as np
import pytest
import scipy.linalg

from scoresde_jax.evaluation import Moments, frechet_distance, moments


def rotation(dims, seed=0):
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(dims, dims)))[0]


def random_covariance(dims, seed):
    factor = np.random.default_rng(seed).normal(size=(dims, dims))
    return factor @ factor.T / dims


def by_matrix_root(one, other):
    """The formula as it is written, by an independent matrix square root."""
    cross = scipy.linalg.sqrtm(one.covariance @ other.covariance)
    shift = np.sum((one.mean - other.mean) ** 2)
    return shift + np.trace(one.covariance + other.covariance - 2 * np.real(cross))


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


def test_equals_the_formula_by_another_square_root():
    rng = np.random.default_rng(7)
    one, other = (Moments(rng.normal(size=20), random_covariance(20, seed)) for seed in (1, 2))
    # sqrtm loses digits to the smallest eigenvalues; 1e-8 is what is left.
    np.testing.assert_allclose(frechet_distance(one, other), by_matrix_root(one, other), rtol=1e-8)


def test_directions_without_variance_add_nothing():
    """What 100 features are in 2,048: a small problem, turned about in a large space.

    Square roots of rounding errors of C1 C2, 1e-8 each, would add up to about 1e-6.
    """
    small = [Moments(np.zeros(4), random_covariance(4, seed)) for seed in (1, 2)]
    axes = rotation(300)[:, :4]
    large = [Moments(axes @ m.mean, axes @ m.covariance @ axes.T) for m in small]
    wanted = by_matrix_root(*small)
    np.testing.assert_allclose(frechet_distance(*large), wanted, rtol=1e-10)
    np.testing.assert_allclose(frechet_distance(large[0], large[0]), 0, atol=1e-12)


def test_fewer_images_than_features():
    """The distance of a set from itself is 0, though neither covariance has an inverse."""
    x = np.random.default_rng(0).normal(size=(10, 64))
    np.testing.assert_allclose(frechet_distance(moments(x), moments(x[::-1])), 0, atol=1e-10)


def test_scales_as_a_square():
    one, other = (Moments(np.ones(6) * seed, random_covariance(6, seed)) for seed in (1, 2))
    scaled = [Moments(1e-3 * m.mean, 1e-6 * m.covariance) for m in (one, other)]
    np.testing.assert_allclose(frechet_distance(*scaled), 1e-6 * frechet_distance(one, other))


def test_unlike_features_are_refused():
    with pytest.raises(ValueError, match="3 and of 2 features"):
        frechet_distance(Moments(np.zeros(3), np.eye(3)), Moments(np.zeros(2), np.eye(2)))
