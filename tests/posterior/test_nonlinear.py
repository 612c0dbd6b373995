"""Measurements that are not linear, against numpy, and how they are shown."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scoresde_jax.posterior import baselines
from scoresde_jax.posterior.operators import (
    check_operator,
    high_dynamic_range,
    phase_retrieval,
)

IMAGE = (6, 4, 3)
X = np.random.default_rng(0).uniform(-1, 1, (2, *IMAGE)).astype(np.float32)
FUNCTIONS = {
    "hdr": partial(high_dynamic_range, gain=2.0),
    "phases": partial(phase_retrieval, oversampling=1.5),
}


@pytest.mark.parametrize(("low", "high"), [(-1.0, 1.0), (0.0, 1.0)])
def test_high_dynamic_range(low, high):
    """In [-1, 1] it is clip(gain x); elsewhere the same of the same picture."""
    x = low + (high - low) * (X + 1) / 2
    found = high_dynamic_range(x, gain=3.0, low=low, high=high)
    expected = low + (high - low) * (np.clip(3 * X, -1, 1) + 1) / 2
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert 0.5 < np.mean((found == low) | (found == high)) < 0.8  # two thirds are lost


def test_phase_retrieval():
    """Every magnitude of the padded image, once or twice, and their energy (Parseval)."""
    found = np.asarray(phase_retrieval(X, oversampling=1.5))
    padded = np.zeros((2, 9, 6, 3))
    padded[:, 2:8, 1:5] = X + 1  # where the image lies in it does not matter
    full = np.abs(np.fft.fft2(padded, axes=(1, 2), norm="ortho"))
    np.testing.assert_allclose(found, full[:, :, :4], atol=2e-6)
    twice = np.array([1, 2, 2, 1])[:, None]  # columns that the other half repeats
    energy = np.sum(twice * found**2, axis=(1, 2, 3))
    np.testing.assert_allclose(energy, np.sum((X + 1) ** 2, axis=(1, 2, 3)), rtol=1e-5)


def test_half_a_turn_is_not_measured():
    np.testing.assert_allclose(
        phase_retrieval(X), phase_retrieval(X[:, ::-1, ::-1]), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("name", FUNCTIONS)
def test_gradients_are_finite_where_nothing_is_measured(name):
    """Of a black image all magnitudes are 0, where roots have no slope."""
    black = jnp.full((1, *IMAGE), -1.0)
    gradient = jax.grad(lambda x: jnp.sum(FUNCTIONS[name](x)))(black)
    assert np.all(np.isfinite(gradient))


def test_shapes():
    assert check_operator(FUNCTIONS["hdr"], (2, *IMAGE)) == (2, *IMAGE)
    assert check_operator(FUNCTIONS["phases"], (2, *IMAGE)) == (2, 9, 4, 3)


@pytest.mark.parametrize(
    ("function", "x", "message"),
    [
        (partial(high_dynamic_range, gain=1.0), X, "gain is more than 1"),
        (partial(phase_retrieval, oversampling=0.9), X, "oversampling is 1 or more"),
        (high_dynamic_range, X[0], r"high_dynamic_range takes images \(B, H, W, C\)"),
        (phase_retrieval, X[0], r"phase_retrieval takes images \(B, H, W, C\)"),
    ],
)
def test_bad_input(function, x, message):
    with pytest.raises(ValueError, match=message):
        function(x)


def test_what_is_shown():
    """A picture as it is; anything else by rank, from black to white, as it lies in y."""
    hdr, phases = FUNCTIONS["hdr"], FUNCTIONS["phases"]
    assert baselines.measures_pictures(hdr, IMAGE)
    assert not baselines.measures_pictures(phases, IMAGE)
    for found in (
        baselines.picture_of(hdr, hdr(X), IMAGE),
        baselines.nearest(hdr, hdr(X), IMAGE),
    ):
        np.testing.assert_array_equal(found, hdr(X))
    y = phases(X)
    shown = np.asarray(baselines.picture_of(phases, y, IMAGE, low=0.0, high=1.0))
    assert shown.shape == X.shape and 0 <= shown.min() and shown.max() <= 1
    for picture, numbers in zip(shown, np.asarray(y), strict=True):
        # The largest is the sum of a bright channel, in its corner.
        channel = np.unravel_index(numbers.argmax(), numbers.shape)[2]
        assert picture[0, 0, channel] == pytest.approx(1, abs=1e-6)
    grey = baselines.picture_of(
        lambda x: jnp.sum(x, axis=(1, 2, 3))[:, None] / 2, y[:, 0, 0, :1], IMAGE
    )
    np.testing.assert_array_equal(grey, np.zeros_like(X))  # between -1 and 1


def test_the_mean_colour_is_all_that_is_known_without_a_model():
    image = jnp.full((1, *IMAGE), 0.3)
    for function in FUNCTIONS.values():
        found = baselines.closest_to(function, function(X), image)
        np.testing.assert_array_equal(found, jnp.full(X.shape, 0.3))
