"""Restorations without a model, pixel by pixel."""

import jax.numpy as jnp
import numpy as np
import pytest

from scoresde_jax.posterior import baselines, operators

SHAPE = (8, 8, 3)
X = jnp.asarray(np.random.default_rng(0).normal(size=(2, *SHAPE)), jnp.float32)


def test_nearest_of_a_mask_is_the_nearest_known_pixel():
    mask = operators.random_mask(SHAPE, 0.2)
    found = np.asarray(baselines.nearest(mask, mask.forward(X), SHAPE))
    known = np.argwhere(np.asarray(mask.known.mask)[..., 0])
    for place in np.ndindex(8, 8):
        distance = np.sum((known - place) ** 2, axis=1)
        candidates = known[distance == distance.min()]  # any of those as near
        values = np.asarray(X)[:, candidates[:, 0], candidates[:, 1]]
        assert (found[:, *place][:, None] == values).all(axis=(0, 2)).any()


def test_nearest_of_a_small_image_is_its_enlargement():
    operator = operators.average(SHAPE, 2)
    y = operator.forward(X)
    expected = np.kron(np.asarray(y), np.ones((1, 2, 2, 1), np.float32))
    np.testing.assert_array_equal(baselines.nearest(operator, y, SHAPE), expected)


@pytest.mark.parametrize(
    "operator",
    [operators.Gray(), operators.half_mask(SHAPE), operators.bicubic(SHAPE, 2)],
    ids=["gray", "half", "bicubic"],
)
def test_closest_to_an_image_explains_the_measurement_and_keeps_the_rest(operator):
    image = jnp.broadcast_to(jnp.array([0.3, -0.2, 0.5]), (1, *SHAPE))
    y = operator.forward(X)
    found = baselines.closest_to(operator, y, image)
    np.testing.assert_allclose(operator.forward(found), y, atol=1e-5)  # float32
    # What is added to the image lies in the range of A^T.
    added = found - image
    back = operators.pseudo_inverse(operator, operator.forward(added))
    np.testing.assert_allclose(back, added, atol=1e-4)  # bicubic has singular values of 1e-1


@pytest.mark.parametrize(
    ("operator", "pictures"),
    [
        (operators.Gray(), True),
        (operators.average(SHAPE, 2), True),
        (operators.gaussian_blur(SHAPE, 1.0), True),
        (operators.half_mask(SHAPE), False),
        (operators.hadamard(SHAPE, 0.5), False),
        (operators.kspace_lines(SHAPE, 2, 2), False),
        (operators.radon(SHAPE, 4), False),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_measures_pictures(operator, pictures):
    assert baselines.measures_pictures(operator, SHAPE) is pictures
    shown = baselines.picture_of(operator, operator.forward(X), SHAPE)
    assert shown.shape == X.shape
