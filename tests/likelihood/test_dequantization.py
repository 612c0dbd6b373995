"""Dequantizing noise has the density that it says, and bounds are what is known of them."""

import itertools
import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from random_parameters import quickly
from scipy import stats

from scoresde_jax.data.preprocess import dequantize, to_levels
from scoresde_jax.likelihood import importance_weighted, learned, truncated_normal, uniform
from scoresde_jax.models import DequantizationFlow
from scoresde_jax.models.dequantizer import inner_sigmoid

COUNT = 20_000
LEVELS = 17
EDGE = 2.0**-16


def elementwise(eps, image):
    """A flow that leans with the image."""
    u, log_slope = inner_sigmoid(1.3 * eps + image)
    return u, log_slope + image[0].size * math.log(1.3)


# Compiled once for all widths.
normal_noise = quickly(lambda keys, y, std: truncated_normal(keys, y, std=std))
DEQUANTIZERS = {
    "uniform": quickly(uniform),
    "truncated-0.05": partial(normal_noise, std=0.05),
    "truncated-0.3": partial(normal_noise, std=0.3),
    "truncated-2": partial(normal_noise, std=2.0),
    "learned": quickly(partial(learned, flow=elementwise, levels=LEVELS)),
}
every_dequantizer = pytest.mark.parametrize("noise", DEQUANTIZERS.values(), ids=DEQUANTIZERS)


@pytest.fixture(scope="module")
def keys():
    return jax.random.split(jax.random.key(0), COUNT)


def images(level):
    """One-pixel images of that level."""
    return np.full((COUNT, 1, 1, 1), level, np.uint8)


@every_dequantizer
@pytest.mark.parametrize("level", [0, LEVELS - 1])
def test_density_integrates_to_one(noise, level, keys):
    u, logq = noise(keys, images(level))
    assert u.shape == (COUNT, 1, 1, 1) and logq.shape == (COUNT,)
    u, logq = np.asarray(u, np.float64).ravel(), np.asarray(logq, np.float64)
    assert u.min() >= EDGE / 2 and u.max() <= 1 - EDGE / 2
    order = np.argsort(u)
    # Of the mass, 1 / 20,000 lies beyond either end of so many draws, give or take its double.
    np.testing.assert_allclose(np.trapezoid(np.exp(logq[order]), u[order]), 1, atol=6e-4)
    # And the draws are of that density: 1 / q has the mean 1 over any part that q covers well.
    inner = (u > 0.4) & (u < 0.6)
    weights = np.where(inner, np.exp(-logq), 0)
    error = weights.std() / math.sqrt(COUNT)
    np.testing.assert_allclose(weights.mean(), 0.2, atol=4 * error)


@every_dequantizer
def test_an_example_depends_on_itself_alone(noise, keys):
    u, logq = noise(keys, images(3))
    half = jnp.arange(COUNT) < COUNT // 2
    others = noise(jnp.where(half, keys, keys[::-1]), np.where(half[:, None, None, None], 3, 9))
    np.testing.assert_array_equal(others.u[: COUNT // 2], u[: COUNT // 2])
    np.testing.assert_array_equal(others.logq[: COUNT // 2], logq[: COUNT // 2])
    assert len(np.unique(u)) > COUNT / 2  # keys differ; uniform noise has 2^15 values


def test_a_flow_is_given_levels_as_minus_one_to_one(keys):
    y = np.arange(COUNT).reshape(COUNT, 1, 1, 1) % LEVELS
    echo = lambda eps, image: (image, jnp.zeros(COUNT))  # noqa: E731
    noise = learned(keys, y, flow=echo, levels=LEVELS)
    np.testing.assert_allclose(noise.u, y / 8 - 1, atol=1e-6)


@pytest.mark.parametrize("levels", [2, 17, 256])
def test_no_noise_leaves_its_level(levels):
    y = np.arange(levels, dtype=np.float32)
    for u in np.float32([EDGE, 0.5, 1 - EDGE]):
        np.testing.assert_array_equal(to_levels(jnp.asarray((y + u) / levels), levels=levels), y)


def test_uniform_noise_is_that_of_preprocessing(keys):
    y = np.arange(COUNT).reshape(COUNT, 1, 1, 1) % LEVELS
    u, logq = uniform(keys, y)
    x = (y.astype(np.float32) + u) / LEVELS
    np.testing.assert_array_equal(x, dequantize(keys, jnp.asarray(y), levels=LEVELS))
    np.testing.assert_array_equal(logq, 0)


@pytest.mark.parametrize("std", [0.05, 0.3, 2.0])
def test_truncated_normal_is_scipys(std, keys):
    u, logq = normal_noise(keys, images(0), std)
    expected = stats.truncnorm(-0.5 / std, 0.5 / std, loc=0.5, scale=std)
    u = np.asarray(u, np.float64).ravel()
    # The cell that is narrower by 3e-5 has a density higher by as much.
    np.testing.assert_allclose(logq, expected.logpdf(u), atol=5e-5)
    mean, variance, kurtosis = expected.stats(moments="mvk")
    np.testing.assert_allclose(u.mean(), mean, atol=4 * math.sqrt(variance / COUNT))
    error = variance * math.sqrt((kurtosis + 2) / COUNT)
    np.testing.assert_allclose(u.var(), variance, atol=4 * error)
    assert stats.kstest(u, expected.cdf).pvalue > 1e-3


def test_log_density_is_summed_over_an_image():
    y = np.zeros((2, 2, 3, 1), np.uint8)
    u, logq = normal_noise(jax.random.split(jax.random.key(1), 2), y, 0.4)
    each = stats.truncnorm.logpdf(u, -1.25, 1.25, loc=0.5, scale=0.4)
    np.testing.assert_allclose(logq, each.sum(axis=(1, 2, 3)), atol=6 * 5e-5)


def test_a_wide_normal_is_uniform(keys):
    u, logq = normal_noise(keys, images(0), 1e6)
    # log(1 - 2^-15), and the float32 of a logarithm near 0.
    np.testing.assert_allclose(logq, 2.0**-15, atol=1e-6)
    assert stats.kstest(np.ravel(u), "uniform").pvalue > 1e-3


def test_a_narrow_normal_is_not_truncated(keys):
    u, logq = normal_noise(keys, images(0), 1e-3)
    eps = (np.asarray(u, np.float64).ravel() - 0.5) / 1e-3
    np.testing.assert_allclose(logq, stats.norm.logpdf(eps) - math.log(1e-3), atol=2e-3)
    assert stats.kstest(eps, "norm").pvalue > 1e-3


# A density of one pixel with a known mass in each level: p(x) = x / 8 in (0, 4).
MASSES = (2 * np.arange(4) + 1) / 16


def triangle(y, u):
    return np.log((y + u) / 8)


def test_the_bound_of_the_exact_posterior_is_the_evidence():
    quantile = np.random.default_rng(0).uniform(size=(4, 3))
    y = np.arange(4)[:, None]
    u = np.sqrt(y**2 + (2 * y + 1) * quantile) - y
    logq = triangle(y, u) - np.log(MASSES)[:, None]
    found = importance_weighted(jnp.asarray(triangle(y, u) - logq))
    np.testing.assert_allclose(found, np.log(MASSES), rtol=1e-6)


def test_many_draws_give_the_evidence(keys):
    u, logq = DEQUANTIZERS["uniform"](keys, images(0))
    y = np.arange(4)[:, None]
    logw = triangle(y, np.ravel(u)) - logq
    found = np.asarray(importance_weighted(logw))
    error = np.exp(logw).std(axis=1) / math.sqrt(COUNT) / MASSES
    assert (np.abs(found - np.log(MASSES)) < 4 * error).all()
    # One draw each gives less: the integral of log(x / 8) over the level.
    plain = np.asarray(importance_weighted(logw.reshape(-1, 1))).reshape(logw.shape)
    ends = [x * np.log(np.maximum(x, 1e-9) / 8) - x for x in (np.arange(4), np.arange(1, 5))]
    spread = 4 * plain.std(axis=1) / math.sqrt(COUNT)
    assert (np.abs(plain.mean(axis=1) - (ends[1] - ends[0])) < spread).all()
    assert (plain.mean(axis=1) + spread < np.log(MASSES)).all()


def test_the_bound_grows_with_draws():
    """The mean of the bounds of all k of K draws never falls with k (Burda et al. 2016)."""
    logw = 3 * np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    means = [logw.mean(axis=1)]  # k = 1 is the plain bound
    for k in range(1, 5):
        chosen = logw[:, np.array(list(itertools.combinations(range(4), k)))]  # (5, choices, k)
        bounds = importance_weighted(jnp.asarray(chosen.reshape(-1, k)))
        means.append(bounds.reshape(5, -1).mean(axis=1))
    np.testing.assert_allclose(means[0], means[1], rtol=1e-6)
    assert (np.diff(means[1:], axis=0) > 0).all()
    np.testing.assert_allclose(means[-1], np.log(np.exp(logw).mean(axis=1)), rtol=1e-5)


def test_the_bound_of_large_weights():
    """Log-densities of images are thousands of nats."""
    logw = jnp.asarray([[9000.0, 9000.0 + math.log(3)], [-9000.0, -1e30]])
    np.testing.assert_allclose(importance_weighted(logw), [9000 + math.log(2), -9000 - math.log(2)])


STD = 0.1


def peaked(u, y):
    """A log-density within cells: each u near a point that its level and the pixel before name.

    Normal distributions truncated to (0, 1), pixel given pixel, so that log P(y) = 0.
    """
    before = jnp.concatenate([jnp.full_like(u[:, :, :1], 0.5), u[:, :, :-1]], axis=2)
    centre = 0.2 + 0.2 * (y % 2) + 0.4 * before
    cdf = jax.scipy.stats.norm.cdf
    inside = cdf((1 - centre) / STD) - cdf(-centre / STD)
    logp = -jnp.square((u - centre) / STD) / 2 - jnp.log(math.sqrt(2 * math.pi) * STD * inside)
    return logp.sum(axis=(1, 2, 3))


def test_training_tightens_the_bound():
    net = DequantizationFlow(8, 3, 1, 0, couplings=2, context_filters=8, context_blocks=0)
    adam = optax.adam(1e-2)
    batch, steps, shape = 64, 200, (1, 4, 1)

    def loss(params, key):
        y = jax.random.randint(key, (batch, *shape), 0, 4)
        keys = jax.random.split(key, batch)
        flow = lambda eps, image: net.apply({"params": params}, eps, image)  # noqa: E731
        u, logq = learned(keys, y, flow=flow, levels=4)
        logw = peaked(u, y) - logq
        return -logw.mean(), (logw, peaked(uniform(keys, y).u, y))

    def step(state, key):
        params, moments = state
        slope, bounds = jax.grad(loss, has_aux=True)(params, key)
        updates, moments = adam.update(slope, moments)
        return (optax.apply_updates(params, updates), moments), bounds

    @quickly
    def train(key):
        zeros = jnp.zeros((1, *shape))
        params = net.init(key, zeros, zeros)["params"]
        keys = jax.random.split(key, steps)
        return jax.lax.scan(step, (params, adam.init(params)), keys)[1]

    # The history of (logw, log-density of uniform noise); threefry takes seconds to compile.
    learning, flat = map(np.asarray, train(jax.random.key(0, impl="unsafe_rbg")))
    error = lambda logw: 4 * logw.std() / math.sqrt(logw.size)  # noqa: E731
    # It starts at the bound of uniform noise, -15 nats, give or take what one step may do.
    assert abs(learning[0].mean() - flat.mean()) < error(learning[0]) + error(flat)
    # It ends near log P(y) = 0, which no bound exceeds.
    last = learning[-20:]
    assert -2 < last.mean() < 0
    # Twenty draws together come nearer.
    together = np.asarray(importance_weighted(jnp.asarray(last.T)))
    assert last.mean() / 2 < together.mean() < error(together)
