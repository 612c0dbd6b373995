"""A mixture is that of its images, and of as many components as held-out images like."""

import numpy as np

from scoresde_jax.data.mixture import gaussian_mixture

LEVELS = 32


def images(count, seed=0):
    """Two kinds: each with its own levels, and correlated pixels in the first."""
    rng = np.random.default_rng(seed)
    kind = rng.random(count) < 0.25
    shared = rng.normal(size=(count, 1))
    first = 8 + 2 * (shared + 0.3 * rng.normal(size=(count, 4)))
    second = 24 + rng.normal(size=(count, 4))
    x = np.where(kind[:, None], first, second)
    return np.clip(np.floor(x), 0, LEVELS - 1).astype(np.uint8).reshape(count, 2, 2, 1)


def test_samples_are_like_the_images():
    train = images(2000)
    mixture = gaussian_mixture(train, levels=LEVELS, seed=0, candidates=(("full", 2),))
    drawn = mixture.sample(1, 20_000)
    assert drawn.shape == (20_000, 2, 2, 1) and drawn.dtype == np.uint8
    own, found = train.reshape(2000, 4).astype(float), drawn.reshape(-1, 4).astype(float)
    # Shares and means to four standard errors of 2,000 images.
    np.testing.assert_allclose(np.mean(found < 16), np.mean(own < 16), atol=0.04)
    for low in (True, False):
        chosen = [x[(x[:, 0] < 16) == low] for x in (own, found)]
        np.testing.assert_allclose(chosen[0].mean(0), chosen[1].mean(0), atol=0.3)
        # Levels add their noise twice, 1/12 each, at most.
        covariances = [np.cov(x.T) for x in chosen]
        np.testing.assert_allclose(*covariances, rtol=0.15, atol=0.2)


def test_the_candidate_that_held_out_images_like_is_chosen():
    """Thirty full covariances would know every image, and one would know no kinds."""
    candidates = (("full", 1), ("full", 2), ("full", 30))
    mixture = gaussian_mixture(images(300), levels=LEVELS, seed=0, candidates=candidates)
    assert (mixture.kind, len(mixture.weights)) == ("full", 2)
    rng = np.random.default_rng(0)
    plain = rng.integers(0, LEVELS, (300, 2, 2, 1), dtype=np.uint8) // 4 + 12
    candidates = (("full", 20), ("diag", 1))
    mixture = gaussian_mixture(plain, levels=LEVELS, seed=0, candidates=candidates)
    assert mixture.kind == "diag"
    np.testing.assert_array_equal(mixture.factors[0], np.diag(np.diag(mixture.factors[0])))


def test_samples_are_by_seed_and_within_the_levels():
    mixture = gaussian_mixture(images(200), levels=LEVELS, seed=0, candidates=(("full", 2),))
    np.testing.assert_array_equal(mixture.sample(3, 50), mixture.sample(3, 50))
    assert np.any(mixture.sample(3, 50) != mixture.sample(4, 50))
    wide = mixture._replace(means=mixture.means * 2)
    assert wide.sample(0, 50).max() == LEVELS - 1
