"""Extractors give each image its features, whatever the blocks, and tell themselves apart."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scoresde_jax.evaluation import principal_components
from scoresde_jax.evaluation.extractors import (
    as_levels,
    component_extractor,
    digit_extractor,
    inception_extractor,
)
from scoresde_jax.models.classifier import SmallClassifier

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 17, (23, 8, 8, 1), dtype=np.uint8)
CLASSIFIER = SmallClassifier(channels=2, features=4)


def parameters(seed=0):
    rng = np.random.default_rng(seed)
    shapes = CLASSIFIER.init(jax.random.key(0), jnp.zeros((1, 8, 8, 1)))["params"]
    return jax.tree.map(lambda leaf: rng.normal(size=leaf.shape).astype(np.float32), shapes)


def fake_inception(calls):
    """Pool: mean and largest pixel; logits: the pool by a layer with a bias."""

    def apply(params, images):
        calls.append(images.shape)
        x = images.astype(jnp.float32).reshape(images.shape[0], -1)
        pool = jnp.stack([x.mean(1), x.max(1)], axis=1)
        return pool, pool @ params["fc"]["kernel"] + params["fc"]["bias"]

    params = {"fc": {"kernel": RNG.normal(size=(2, 5)), "bias": RNG.normal(size=5)}}
    return apply, params


@pytest.mark.parametrize("size", [1, 7, 23, 100])
def test_blocks_are_features_of_every_image_once(size):
    extractor = digit_extractor(CLASSIFIER, parameters(), 17)
    whole, logits = extractor.features(IMAGES)
    assert whole.shape == (23, extractor.dims) and logits.shape == (23, 10)
    parts = list(extractor.blocks(IMAGES, size))
    assert [len(pool) for pool, _ in parts[:-1]] == [size] * (len(parts) - 1)
    found = extractor.all(IMAGES, size)
    # Sums of another batch round otherwise.
    np.testing.assert_allclose(found[0], whole, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(found[1], logits, rtol=1e-4, atol=1e-3)


def test_inception_compiles_once_and_its_logits_have_no_bias():
    calls = []
    apply, params = fake_inception(calls)
    extractor = inception_extractor(apply, params, sha256="abc", dims=2)
    pool, logits = extractor.all(IMAGES, 10)
    assert calls == [(10, 8, 8, 1)]
    assert (extractor.hash, extractor.levels, extractor.resize) == ("abc", 256, "tf1-bilinear-299")
    x = IMAGES.reshape(23, -1).astype(np.float64)
    np.testing.assert_allclose(pool, np.stack([x.mean(1), x.max(1)], 1), rtol=1e-6)
    np.testing.assert_allclose(logits, pool @ params["fc"]["kernel"], rtol=1e-4, atol=1e-4)


def test_principal_components_are_features_too():
    projection = principal_components(IMAGES, 6)
    extractor = component_extractor(projection, levels=17)
    pool, logits = extractor.all(IMAGES, 10)
    assert logits is None and extractor.dims == 6
    np.testing.assert_allclose(pool, projection.features(IMAGES), rtol=1e-9, atol=1e-9)


def test_other_weights_have_another_hash():
    hashes = {digit_extractor(CLASSIFIER, parameters(seed), 17).hash for seed in (0, 0, 1)}
    assert len(hashes) == 2
    projection = principal_components(IMAGES, 6)
    moved = projection._replace(mean=projection.mean + 1e-9)
    hashes |= {component_extractor(p, levels=17).hash for p in (projection, moved)}
    assert len(hashes) == 4


def test_images_of_other_levels_are_refused():
    extractor = digit_extractor(CLASSIFIER, parameters(), 17)
    with pytest.raises(ValueError, match="uint8 images of 17 levels; got uint8 up to 255"):
        extractor.all(np.full((2, 8, 8, 1), 255, np.uint8))
    with pytest.raises(ValueError, match="got float64 up to"):
        extractor.all(IMAGES / 16)


@pytest.mark.parametrize("levels", [17, 2, 256])
def test_levels_survive_the_way_to_pixels_and_back(levels):
    images = np.arange(levels, dtype=np.uint8)
    pixels = np.round(images * (255 / (levels - 1))).astype(np.uint8)  # as samples are written
    found = as_levels(pixels, levels=256, wanted=levels)
    np.testing.assert_array_equal(found, images)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(as_levels(images, levels=levels, wanted=256), pixels)
