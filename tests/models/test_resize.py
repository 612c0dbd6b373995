"""Resizing is TensorFlow 1's: by linear interpolation in float64, by torch-fidelity, by hand."""

import jax
import numpy as np
import pytest

from scoresde_jax.models.resize import resize_tf1
from tests.inception_reference import IMAGES, PATH, STRIDE, random_image

resize = jax.jit(resize_tf1, static_argnums=1)

# Some roundings of float32 at 255; positions are rounded alike.
TOLERANCE = 255 * 2**-21


def interpolated(x, axis, size):
    """np.interp at j n / size, which keeps the last value beyond the last pixel."""
    length = x.shape[axis]
    positions = np.arange(size, dtype=np.float32) * np.float32(length / size)
    return np.apply_along_axis(lambda y: np.interp(positions, np.arange(length), y), axis, x)


@pytest.mark.parametrize(
    ("height", "width", "size"), [(32, 32, 299), (350, 61, 299), (7, 5, 11), (1, 9, 4), (8, 8, 3)]
)
def test_it_is_linear_interpolation(height, width, size):
    images = np.stack([random_image(height, width), random_image(height, width)[::-1]])
    expected = interpolated(interpolated(images.astype(np.float64), 1, size), 2, size)
    found = resize(images, size)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=TOLERANCE)


@pytest.mark.parametrize("index", range(len(IMAGES)))
def test_it_is_that_of_torch_fidelity(index):
    found = resize(random_image(*IMAGES[index])[None], 299)[0, ::STRIDE, ::STRIDE]
    np.testing.assert_allclose(found, np.load(PATH)["resized"][index], atol=TOLERANCE)


@pytest.mark.parametrize(
    ("pixels", "expected"),
    [
        ([0, 1], [0, 0.5, 1, 1]),  # with half-pixel centres: 0, 1/4, 3/4, 1
        ([0, 1, 2, 3, 4, 5, 6, 7], [0, 2, 4, 6]),  # with a filter: 0.5, 2.5, ...
        ([3, 1, 2, 9], [3, 1, 2, 9]),
    ],
)
def test_by_hand(pixels, expected):
    square = np.asarray(pixels)[None, :, None, None] + np.zeros((1, 1, len(pixels), 1))
    for images in square, square.swapaxes(1, 2):
        found = resize(images, 4)[0, ..., 0]
        columns = found if images is square else found.T
        np.testing.assert_array_equal(columns, np.tile(np.asarray(expected)[:, None], 4))
