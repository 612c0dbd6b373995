import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scoresde_jax.data import preprocess

# As in use: compiled, levels static.
dequantize, quantized_unit, nearest_level, to_levels = (
    jax.jit(function, static_argnames="levels")
    for function in (
        preprocess.dequantize,
        preprocess.quantized_unit,
        preprocess.nearest_level,
        preprocess.to_levels,
    )
)
random_flip, to_uint8, center, uncenter = map(
    jax.jit,
    (preprocess.random_flip, preprocess.to_uint8, preprocess.center, preprocess.uncenter),
)


def ramp(levels, batch=1):
    """Every level 1024 times: (batch, levels, 1024, 1) uint8."""
    column = np.arange(levels, dtype=np.uint8)[:, None, None]
    return jnp.asarray(np.broadcast_to(column, (batch, levels, 1024, 1)))


def split(seed, batch):
    return jax.random.split(jax.random.key(seed), batch)


@pytest.mark.parametrize("levels", [17, 200, 256])
def test_floor_of_dequantized_is_the_level_without_exception(levels):
    images = ramp(levels, batch=16)  # 4 million pixels at 256 levels
    x = dequantize(split(0, 16), images, levels=levels)
    assert x.dtype == jnp.float32
    assert 0 < x.min() and x.max() < 1
    np.testing.assert_array_equal(to_levels(x, levels=levels), images)


def test_the_ends_of_each_share_belong_to_the_level():
    """The smallest and largest u there is, 2^-16 and 1 - 2^-16."""
    for levels in (17, 256):
        v = jnp.arange(levels, dtype=jnp.float32)
        for u in (2**-16, 1 - 2**-16):
            np.testing.assert_array_equal(to_levels((v + u) / levels, levels=levels), v)


@pytest.mark.parametrize("levels", [17, 256])
def test_noise_is_uniform_over_the_share_of_the_level(levels):
    images = ramp(levels, batch=4)
    u = np.sort(
        np.asarray(dequantize(split(1, 4), images, levels=levels) * levels - images).ravel()
    )
    n = len(u)
    # Kolmogorov-Smirnov: sup |F_n - F| exceeds 2.5/sqrt(n) with probability 2 exp(-12.5) = 7e-6.
    assert np.abs(u - (np.arange(n) + 0.5) / n).max() < 2.5 / n**0.5
    # Mean 1/2 with standard error 1/sqrt(12 n).
    assert abs(u.mean(dtype=np.float64) - 0.5) < 4.5 / (12 * n) ** 0.5


def test_noise_of_an_example_is_its_own():
    """Same key, same noise, whatever the batch; different keys and pixels, different noise."""
    keys, images = split(2, 6), jnp.zeros((6, 8, 8, 3), jnp.uint8)
    x = dequantize(keys, images, levels=256)
    np.testing.assert_array_equal(dequantize(keys[4:5], images[4:5], levels=256)[0], x[4])
    np.testing.assert_array_equal(dequantize(keys[::-1], images, levels=256), x[::-1])
    flat = np.asarray(x).reshape(6, -1)
    correlation = np.corrcoef(flat) - np.eye(6)
    assert np.abs(correlation).max() < 5 / flat.shape[1] ** 0.5  # 5 standard errors
    assert np.corrcoef(flat[:, :-1].ravel(), flat[:, 1:].ravel())[0, 1] < 5 / flat.size**0.5


@pytest.mark.parametrize("levels", [2, 17, 200, 256])
def test_quantized_unit_reaches_both_ends_and_is_undone_by_rounding(levels):
    images = ramp(levels)
    x = quantized_unit(images, levels=levels)
    assert (x.min(), x.max()) == (0, 1)
    np.testing.assert_array_equal(nearest_level(x, levels=levels), images)
    # Anything short of half a level is forgiven, on both sides.
    for error in (-0.49, 0.49):
        near = x + error / (levels - 1)
        np.testing.assert_array_equal(nearest_level(near, levels=levels), images)


def test_each_reading_is_wrong_for_the_other_convention():
    """Why there are two: half the darkest dequantised pixels round up; exact values floor down."""
    x = dequantize(split(3, 1), jnp.zeros((1, 64, 64, 1), jnp.uint8), levels=256)
    wrong = (nearest_level(x, levels=256) != 0).mean()
    assert abs(wrong - 0.5) < 4.5 * 0.5 / 64  # 4.5 standard errors of a fair coin
    below = quantized_unit(jnp.full((1, 1, 1, 1), 3, jnp.uint8), levels=256) * (1 - 1e-1)
    assert to_levels(below, levels=256) == 2 and nearest_level(below, levels=256) == 3


def test_readings_clip():
    x = jnp.array([-jnp.inf, -0.3, -1e-9, 1.0, 1.0 + 1e-6, 7.0])
    np.testing.assert_array_equal(to_levels(x, levels=17), [0, 0, 0, 16, 16, 16])
    np.testing.assert_array_equal(nearest_level(x, levels=17), [0, 0, 0, 16, 16, 16])
    np.testing.assert_array_equal(to_uint8(x), [0, 0, 0, 255, 255, 255])


def test_to_uint8_rounds_to_the_nearest():
    v = np.arange(256)
    np.testing.assert_array_equal(to_uint8(jnp.asarray(v / 255)), v)
    x = jax.random.uniform(jax.random.key(0), (10_000,))
    error = np.asarray(to_uint8(x)) / 255 - np.asarray(x)
    assert to_uint8(x).dtype == jnp.uint8
    assert np.abs(error).max() <= 0.5 / 255 + 1e-7  # float32 rounding of x * 255
    assert abs(error.mean()) < 5 * (1 / 255) / (12 * 10_000) ** 0.5  # unbiased, 5 standard errors


def test_center_is_undone():
    x = quantized_unit(ramp(256), levels=256)
    assert (center(x).min(), center(x).max()) == (-1, 1)
    np.testing.assert_allclose(uncenter(center(x)), x, atol=6e-8)  # 1 ulp of 2x - 1 near -1


def test_flip_mirrors_left_and_right_or_does_nothing():
    images = jnp.asarray(np.random.default_rng(0).integers(0, 256, (400, 3, 4, 2)), jnp.uint8)
    flipped = random_flip(split(4, 400), images)
    assert flipped.dtype == images.dtype
    same = np.asarray((flipped == images).all((1, 2, 3)))
    mirror = np.asarray((flipped == jnp.flip(images, axis=2)).all((1, 2, 3)))
    assert (same ^ mirror).all()
    assert abs(mirror.mean() - 0.5) < 4.5 * 0.5 / 400**0.5  # 4.5 standard errors of a fair coin


def test_flip_of_an_example_is_its_own():
    keys = split(5, 32)
    images = jnp.arange(32 * 4, dtype=jnp.float32).reshape(32, 1, 4, 1)
    flipped = random_flip(keys, images)
    np.testing.assert_array_equal(random_flip(keys[7:9], images[7:9]), flipped[7:9])
    # The choice belongs to the key, not to the row or the pixels.
    other = random_flip(keys[::-1], images)
    np.testing.assert_array_equal(
        np.asarray((other == images).all((1, 2, 3)))[::-1],
        np.asarray((flipped == images).all((1, 2, 3))),
    )
