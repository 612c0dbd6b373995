"""FID's network equals torch-fidelity's, with the same random weights, on images of any size."""

import jax
import numpy as np
import pytest

from scoresde_jax.interop.inception import folded, tensor_shapes
from scoresde_jax.models.inception import average, inception_features, maximum, prepared
from tests.inception_reference import IMAGES, PATH, random_image, random_tensor


@pytest.fixture(scope="module")
def found():
    """pool and logits of the images of the reference."""
    shapes = tensor_shapes().items()
    params = folded({name: random_tensor(name, shape) for name, shape in shapes})
    features = jax.jit(inception_features)
    rows = [features(params, random_image(*size)[None]) for size in IMAGES]
    return dict(zip(("pool", "logits"), map(np.concatenate, zip(*rows, strict=True)), strict=True))


@pytest.mark.parametrize("name", ["pool", "logits"])
def test_activations_are_those_of_torch_fidelity(found, name):
    expected = np.load(PATH)[name]
    # The reference's own rounding is a tenth of it.
    np.testing.assert_allclose(found[name], expected, rtol=0, atol=1e-4 * expected.std())


def test_the_reference_tells_images_apart(found):
    """Else it would not matter what the network is given."""
    for name in found:
        expected = np.load(PATH)[name]
        assert (expected - expected.mean(0)).std() > 0.4 * expected.std()


def test_grey_images_have_three_equal_channels():
    grey = random_image(20, 30)[None, ..., :1]
    np.testing.assert_array_equal(prepared(grey), prepared(np.repeat(grey, 3, axis=-1)))


def test_levels_are_scaled():
    levels = np.asarray([0, 128, 255], np.uint8).reshape(3, 1, 1, 1)
    expected = np.broadcast_to(np.reshape([-1, 0, 127 / 128], (3, 1, 1, 1)), (3, 299, 299, 3))
    np.testing.assert_array_equal(prepared(levels), expected)


def test_pools_know_no_padding():
    x = -1 - np.arange(4.0, dtype=np.float32).reshape(1, 2, 2, 1)
    np.testing.assert_allclose(average(x), np.full((1, 2, 2, 1), -2.5), rtol=1e-6)
    np.testing.assert_array_equal(maximum(x), np.full((1, 2, 2, 1), -1))


@pytest.mark.parametrize(
    ("images", "error", "message"),
    [
        (np.zeros((1, 8, 8, 3), np.float32), TypeError, "images of uint8.*these are float32"),
        (np.zeros((1, 8, 8, 4), np.uint8), ValueError, r"these are \(1, 8, 8, 4\)"),
        (np.zeros((8, 8, 3), np.uint8), ValueError, r"these are \(8, 8, 3\)"),
        (np.zeros((0, 8, 8, 3), np.uint8), ValueError, r"these are \(0, 8, 8, 3\)"),
    ],
)
def test_what_are_no_images(images, error, message):
    with pytest.raises(error, match=message):
        inception_features({}, images)
