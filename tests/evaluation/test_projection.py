"""Principal components are the directions of the largest variances."""

import numpy as np

from scoresde_jax.evaluation import principal_components


def test_principal_components_hold_the_largest_variances():
    rng = np.random.default_rng(1)
    spread = np.array([5.0, 3.0, 1.0, 0.1])
    turned = np.linalg.qr(np.random.default_rng(0).normal(size=(4, 4)))[0]
    images = ((rng.normal(size=(400, 4)) * spread) @ turned.T + 7).reshape(400, 2, 2, 1)
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
