"""The dequantization flow: its density is exact, normalised, and at first nearly uniform."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_parameters import quickly, random_parameters

from scoresde_jax.models import DequantizationFlow
from scoresde_jax.models.dequantizer import (
    LOGISTIC_SCALE,
    MARGIN,
    ElementAffine,
    Pointwise,
    _halves,
    _interleave,
    inner_sigmoid,
)

TINY = {
    "filters": 4,
    "components": 2,
    "blocks": 1,
    "heads": 0,
    "couplings": 2,
    "context_filters": 4,
    "context_blocks": 1,
    "pointwise": False,
}
# Options of the flow, and the shape of images: every kind of layer and of split.
CASES = {
    "grey": ({"splits": ("columns", "rows"), "couplings": 3, "context_blocks": 0}, (2, 4, 1)),
    "grey-attention": ({"heads": 2, "context_heads": 2}, (3, 2, 1)),
    "colour": ({"pointwise": True, "splits": ("channels",), "context_blocks": 0}, (1, 2, 3)),
    "colour-attention": ({"heads": 2, "pointwise": True, "context_blocks": 0}, (1, 2, 3)),
}


def normal(seed, shape):
    return np.random.default_rng(seed).normal(size=shape)


@functools.cache
def random_flow(case):
    """A flow (params, eps, image) -> (u, log_det), random parameters, and its images' shape."""
    options, shape = CASES[case]
    net, zeros = DequantizationFlow(**(TINY | options)), np.zeros((1, *shape), np.float32)
    flow = lambda params, eps, image: net.apply({"params": params}, eps, image)  # noqa: E731
    return flow, random_parameters(net, zeros, zeros, scale=0.2), shape


@pytest.mark.parametrize("case", CASES)
def test_log_determinant_is_that_of_the_jacobian(case):
    flow, params, shape = random_flow(case)

    @quickly
    def jacobian(params, eps, image):
        def of_one(eps):
            u, log_det = flow(params, eps[None], image[None])
            return u[0], log_det[0]

        return jax.jacfwd(of_one, has_aux=True)(eps)

    with jax.enable_x64(True):
        log_dets = []
        for seed in range(3):
            eps, image = normal(seed, (2, *shape))
            full, log_det = jacobian(params, eps, image)
            full = np.asarray(full).reshape(eps.size, eps.size)
            assert full.dtype == np.float64
            # Where u is near 1, the derivative s (1 - s) of its sigmoid has lost digits: 4e-8 here.
            expected = np.linalg.slogdet(full).logabsdet
            np.testing.assert_allclose(log_det, expected, rtol=0, atol=1e-6)
            # Otherwise the test would say little: each u follows the noise of others.
            others = np.abs(full * (1 - np.eye(eps.size))).sum(axis=1)
            assert (others > 0).all()
            log_dets.append(float(log_det))
    assert np.ptp(log_dets) > 0.1


def test_density_integrates_to_one():
    """Over two pixels: the integral of |det du/deps| is the volume that u fills, once."""
    net, zeros = DequantizationFlow(**(TINY | {"components": 3})), np.zeros((1, 1, 2, 1))
    params = random_parameters(net, zeros, zeros, seed=3)
    step, reach = 0.15, 18
    axis = np.arange(-reach, reach, step)
    eps = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 1, 2, 1)

    @quickly
    def over_rows(eps):
        image = jnp.broadcast_to(jnp.asarray([-0.5, 1.0]).reshape(1, 1, 2, 1), eps.shape)
        return net.apply({"params": params}, eps, image)

    u, log_det = over_rows(eps.astype(np.float32))
    volume = np.exp(np.float64(log_det)).sum() * step**2
    # The rule converges exponentially for smooth functions that vanish at the ends.
    np.testing.assert_allclose(volume, (1 - 2 * MARGIN) ** 2, rtol=1e-4)
    assert u.min() < 0.01 and u.max() > 0.99


@pytest.fixture(scope="module")
def compiled():
    """(eps, image) -> (u, log_det) of a random flow, and its images' shape."""
    flow, params, shape = random_flow("grey-attention")
    return functools.partial(quickly(flow), params), shape


def test_an_example_depends_on_itself_alone(compiled):
    flow, shape = compiled
    eps, images = normal(1, (4, *shape)), normal(2, (4, *shape))
    together = flow(eps, images)
    own = (np.arange(4) == 2)[:, None, None, None]
    others = flow(np.where(own, eps, 9.0), np.where(own, images, -3.0))
    alone = flow(eps[2:3], images[2:3])
    for i in range(2):
        np.testing.assert_array_equal(others[i][2], together[i][2])
        np.testing.assert_allclose(alone[i][0], together[i][2], rtol=1e-5, atol=1e-5)


def test_noise_follows_the_image(compiled):
    flow, shape = compiled
    eps = np.broadcast_to(normal(1, shape), (4, *shape))
    u, log_det = flow(eps, normal(2, (4, *shape)))
    assert (np.ptp(u, axis=0) > 1e-4).all() and len(set(np.asarray(log_det))) == 4


def test_a_pixel_of_the_image_is_told_to_its_neighbours():
    """One coupling hears of four rows either way: by three convolutions, and its own last."""
    net = DequantizationFlow(**(TINY | {"couplings": 1}))
    eps, image = normal(1, (1, 8, 2, 1)).astype(np.float32), np.zeros((1, 8, 2, 1), np.float32)
    params = random_parameters(net, eps, image)
    flow = quickly(lambda image: net.apply({"params": params}, eps, image)[0])
    touched = image.copy()
    touched[0, 0, 0] = 1
    moved = np.asarray(flow(touched) != flow(image))[0, :, :, 0]
    # The first half, even columns, is not moved.
    np.testing.assert_array_equal(moved.any(axis=0), [False, True])
    np.testing.assert_array_equal(np.flatnonzero(moved[:, 1]), range(5))


def test_splits_take_turns_and_halves_too():
    net = DequantizationFlow(**(TINY | {"couplings": 5, "splits": ("columns", "channels")}))
    zeros = jnp.zeros((1, 2, 2, 3))
    params = jax.eval_shape(net.init, jax.random.key(0), zeros, zeros)["params"]
    last = [params[f"MixLogisticCoupling_{i}"]["Conv_0"]["bias"].shape[0] for i in range(5)]
    # Eight numbers for each channel that moves: all of half the columns, or one or two of all.
    np.testing.assert_array_equal(last, 8 * np.array([3, 3, 1, 2, 3]))


def test_u_keeps_its_distance_from_the_faces(compiled):
    flow, shape = compiled
    for scale in (1, 30, 1e4):
        u, log_det = flow(scale * normal(1, (4, *shape)), normal(2, (4, *shape)))
        assert u.dtype == jnp.float32 and u.min() >= MARGIN and u.max() <= 1 - MARGIN
        assert np.isfinite(log_det).all()
    # It did reach them.
    np.testing.assert_allclose((u.min(), u.max()), (MARGIN, 1 - MARGIN), rtol=1e-6)


def test_it_starts_as_nearly_uniform_noise():
    net = DequantizationFlow(**(TINY | {"components": 8}))
    eps, images = normal(1, (512, 4, 4, 1)), normal(2, (512, 4, 4, 1))
    key = jax.random.key(0, impl="unsafe_rbg")  # threefry takes seconds to compile
    (u, log_det), _ = quickly(net.init_with_output)(key, eps, images)
    logq = -np.square(eps) / 2 - math.log(2 * math.pi) / 2
    bits = (logq.sum(axis=(1, 2, 3)) - log_det) / 16 / math.log(2)
    # KL(q || uniform) is 0.014 bits for a scaled normal alone, less with the first mixtures.
    error = 4 * bits.std() / math.sqrt(512)
    assert error < 0.02 and -error < bits.mean() < 0.014 + error
    # Four standard errors of 8,192 values; the scaled normal's deviation is 0.002 too small.
    np.testing.assert_allclose(u.mean(), 0.5, atol=0.013)
    np.testing.assert_allclose(u.std(), math.sqrt(1 / 12), atol=0.01)


def test_logistic_scale_is_the_best_of_its_neighbours():
    eps, weights = np.polynomial.hermite_e.hermegauss(60)

    def divergence(scale):
        """KL(q || uniform) up to a constant, for u = sigmoid(scale eps)."""
        _, log_slope = inner_sigmoid(jnp.asarray(scale * eps).reshape(-1, 1, 1, 1))
        return -math.log(scale) - np.average(log_slope, weights=weights)

    best = divergence(LOGISTIC_SCALE)
    assert best < divergence(LOGISTIC_SCALE - 0.02) and best < divergence(LOGISTIC_SCALE + 0.02)


@pytest.mark.parametrize("layer", [ElementAffine(), Pointwise()], ids=["affine", "pointwise"])
def test_linear_layers(layer):
    x = normal(0, (2, 2, 3, 2)).astype(np.float32)
    key = jax.random.key(0, impl="unsafe_rbg")
    (start, _), _ = quickly(layer.init_with_output)(key, x)
    np.testing.assert_allclose(start, x, atol=0.02)  # pointwise starts with noise of 1e-3
    params = random_parameters(layer, x)
    flow = lambda x: tuple(layer.apply({"params": params}, x[None]))  # noqa: E731
    (full, _), (_, log_det) = quickly(jax.jacfwd(flow))(x[0]), quickly(flow)(x[0])
    expected = np.linalg.slogdet(np.reshape(full, (12, 12))).logabsdet
    np.testing.assert_allclose(log_det, expected, rtol=1e-5)


@pytest.mark.parametrize("size", [2, 3, 4, 5])
@pytest.mark.parametrize("axis", [1, 2, 3])
def test_halves_interleave_to_the_whole(axis, size):
    shape = tuple(size if i == axis else 2 for i in range(4))
    x = normal(0, shape).astype(np.float32)
    first, second = _halves(x, axis)
    assert first.shape[axis] - second.shape[axis] == size % 2
    np.testing.assert_array_equal(first, np.take(x, range(0, size, 2), axis))
    np.testing.assert_array_equal(_interleave(first, second, axis), x)


@pytest.mark.parametrize(
    ("options", "shape", "message"),
    [
        ({"splits": ("columns",)}, (2, 3, 1), "an even number of columns"),
        ({"splits": ("columns", "rows")}, (3, 4, 1), "an even number of rows"),
        ({"splits": ("channels",)}, (4, 4, 1), "two channels or more"),
    ],
)
def test_images_that_do_not_split(options, shape, message):
    net, zeros = DequantizationFlow(**(TINY | options)), jnp.zeros((1, *shape))
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(net.init, jax.random.key(0), zeros, zeros)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"splits": ("checkers",)}, "known are 'rows', 'columns', 'channels'"),
        ({"splits": ()}, "known are"),
        ({"filters": 6, "heads": 4}, "filters is 6, which 4 heads do not divide"),
        ({"context_heads": 3}, "context_filters is 4, which 3 context_heads"),
    ],
)
def test_sizes_that_do_not_fit(options, message):
    with pytest.raises(ValueError, match=message):
        DequantizationFlow(**(TINY | options))


def test_the_defaults_are_for_cifar10():
    net, zeros = DequantizationFlow(), jnp.zeros((2, 32, 32, 3))
    shapes = jax.eval_shape(net.init_with_output, jax.random.key(0), zeros, zeros)
    (u, log_det), variables = shapes
    assert u.shape == (2, 32, 32, 3) and log_det.shape == (2,)
    assert sum(leaf.size for leaf in jax.tree.leaves(variables)) == 3_467_132
