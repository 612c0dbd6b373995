"""Twisted SMC tends to the exact posterior, at the rate of its particles."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_parameters import quickly

from posterior.problems import GAUSSIAN, IMAGE, MIXTURE, SDES, SIZE, WHITE, score_fn, std_of
from scoresde_jax.posterior import one_of_each, pigdm_sample, smc_particles, smc_sample
from scoresde_jax.posterior.exact import gaussian, mixture
from scoresde_jax.posterior.ladder import rows
from scoresde_jax.posterior.operators import average, gaussian_blur, half_mask, matrix_of
from scoresde_jax.posterior.smc import Cloud, _resample, smc_step
from scoresde_jax.sampling.change import alpha_std
from scoresde_jax.sampling.grids import log_snr_grid

NOISE = 0.2
VP = SDES["vp"]
OPERATORS = {"average": average(IMAGE, 2), "blur": gaussian_blur(IMAGE, 0.7)}


def weighted_moments(found):
    """Mean and covariance over the particles of all measurements, which are the same."""
    weight = np.asarray(jnp.exp(found.log_weight), np.float64).ravel() / len(found.x)
    x = np.asarray(found.x, np.float64).reshape(len(weight), -1)
    mean = weight @ x
    return mean, (weight[:, None] * (x - mean)).T @ (x - mean)


def particles(prior, operator, y, filters, count, steps, image=IMAGE, noise_std=NOISE):
    ys = jnp.broadcast_to(y, (filters, *y.shape))
    return jax.jit(
        lambda key: smc_particles(
            key,
            VP,
            score_fn(prior, VP),
            operator,
            ys,
            (filters, *image),
            noise_std=noise_std,
            steps=steps,
            t_min=1e-3,
            particles=count,
            prior_std=std_of(prior) * (SIZE / prior.mean.shape[1]) ** 0.5,
        )
    )(jax.random.key(1))


@pytest.mark.parametrize("name", OPERATORS)
@pytest.mark.parametrize("prior", [GAUSSIAN, MIXTURE], ids=["gaussian", "mixture"])
def test_many_particles(prior, name):
    operator = OPERATORS[name]
    truth = jnp.asarray(prior.draw(3, 1).reshape(1, *IMAGE), jnp.float32)
    y = operator.forward(truth)[0] + NOISE * np.random.default_rng(0).normal()
    exact = prior.posterior(matrix_of(operator, IMAGE), np.asarray(y).ravel(), NOISE)
    found = particles(prior, operator, y, 4, 500, 150)
    assert found.nfe == 500 * 151
    np.testing.assert_allclose(jnp.exp(found.log_weight).sum(axis=1), 1, rtol=1e-5)
    mean, covariance = weighted_moments(found)
    exact_mean, exact_covariance = exact.moments()
    spread = np.trace(exact_covariance) ** 0.5
    # 2,000 particles, of which resampling leaves the worth of a few hundred: 0.06 and 0.25.
    assert np.linalg.norm(mean - exact_mean) / spread < 0.15
    off = np.linalg.norm(covariance - exact_covariance) / np.linalg.norm(exact_covariance)
    assert off < 0.4


def test_a_function():
    """Two pixels, the product of which is measured: against a sum over a grid."""
    image, noise = (1, 2, 1), 0.1
    prior = mixture(
        [0.5, 0.5],
        np.array([[0.5, 0.4], [-0.6, -0.2]]),
        np.array([[[0.3, 0.1], [0.1, 0.2]], [[0.2, 0.0], [0.0, 0.3]]]),
    )

    def product(x):
        return x[:, :, 0] * x[:, :, 1]

    found = particles(prior, product, jnp.full((1, 1), 0.3), 8, 500, 150, image, noise)
    x = np.asarray(found.x).reshape(-1, 2)
    weight = np.asarray(jnp.exp(found.log_weight)).ravel() / 8
    line = np.linspace(-4, 4, 401)
    plane = np.stack(np.meshgrid(line, line), -1).reshape(-1, 2)
    density = np.zeros(len(plane))
    for w, m, c in zip(prior.weight, prior.mean, prior.covariances(), strict=True):
        square = np.einsum("ni,ij,nj->n", plane - m, np.linalg.inv(c), plane - m)
        density += w * np.exp(-0.5 * square) / np.linalg.det(c) ** 0.5
    density *= np.exp(-0.5 * ((plane[:, 0] * plane[:, 1] - 0.3) / noise) ** 2)
    density /= density.sum()
    # 4,000 particles of std 0.7; the errors of 8 filters by themselves are 0.06.
    np.testing.assert_allclose(weight @ x, density @ plane, atol=0.08)
    np.testing.assert_allclose(weight @ x**2, density @ plane**2, atol=0.08)


def test_the_rate_of_its_particles():
    """1 / sqrt K, by the weights: the guidance takes the data for three times as wide."""
    image, steps = (1, 2, 1), 150
    prior = gaussian([0.3, -0.2], np.array([[0.3, 0.2], [0.2, 0.25]]))
    left, y, prior_std = half_mask(image), jnp.array([1.0]), 3 * 0.275**0.5
    mean, covariance = prior.posterior(matrix_of(left, image), np.asarray(y), NOISE).moments()
    spread = np.trace(covariance) ** 0.5

    def solved(solver, batch, **options):
        settings = {"noise_std": NOISE, "steps": steps, "t_min": 1e-3, "prior_std": prior_std}
        ys, shape = jnp.broadcast_to(y, (batch, 1)), (batch, *image)
        score = score_fn(prior, VP)
        return jax.jit(lambda key: solver(key, VP, score, left, ys, shape, **settings, **options))(
            jax.random.key(2)
        )

    errors = []
    for count in (50, 500, 5000):
        found = solved(smc_particles, 8, particles=count)
        weight = np.asarray(jnp.exp(found.log_weight), np.float64)
        means = np.einsum("bk,bki->bi", weight, np.asarray(found.x).reshape(8, count, 2))
        errors.append(np.sqrt(np.mean(np.sum((means - mean) ** 2, axis=1))) / spread)
    # Of 16 numbers a root mean square is known to 18 %, a ratio of two to 25 %.
    ratios = np.divide(errors[:-1], errors[1:])
    assert np.all((10**0.5 / 2 < ratios) & (ratios < 2 * 10**0.5)), errors
    guided = np.asarray(solved(pigdm_sample, 10_000).x).reshape(-1, 2).mean(axis=0)
    assert np.linalg.norm(guided - mean) / spread > 3 * errors[-1], errors


def test_a_guided_step_leaves_little_to_the_weights():
    """Of white data the twist is p(y | x_t) itself, and a guided particle needs hardly a weight.

    Guidance that goes wrong is mended by the weights, so moments say nothing of it.
    """
    operator, count, std, rng = OPERATORS["average"], 500, 0.5, np.random.default_rng(0)
    levels = jax.device_get(rows(VP, log_snr_grid, 50, 1e-3))
    row = jax.tree.map(lambda a: a[25], levels)  # where the measurement comes to matter
    matrix, data = matrix_of(operator, IMAGE), WHITE.mean[0]
    y = matrix @ WHITE.draw(3, 1)[0]
    (alpha, spread), (below, noise) = (np.asarray(alpha_std(VP, t)) for t in levels.t[25:27])
    x = alpha * WHITE.draw(4, count) + spread * rng.normal(size=(count, SIZE))
    none = np.zeros((1, count), np.float32)
    cloud = quickly(
        lambda key, x, y: smc_step(
            key,
            VP,
            score_fn(WHITE, VP),
            operator,
            y,
            Cloud(x, none, none),
            row,
            noise_std=NOISE,
            prior_std=std,
        )
    )(
        jax.random.key(0),
        np.float32(x).reshape(count, *IMAGE),
        np.float32(y).reshape(operator.forward(np.zeros((1, *IMAGE))).shape),
    )
    log_weight, was = (np.asarray(a, np.float64)[0] for a in (cloud.log_weight, cloud.twist))
    assert len(np.unique(was)) < 0.8 * count  # drawn anew: each has its parent's gradient
    x = np.asarray(cloud.x, np.float64).reshape(count, SIZE)
    share = std**2 / (below**2 * std**2 + noise**2)
    x0, variance = data + below * share * (x - below * data), noise**2 * share
    # A mean of four pixels has a quarter of their variance.
    twist = -0.5 * np.sum((y - x0 @ matrix.T) ** 2, axis=1) / (variance / 4 + NOISE**2)
    weight = np.exp(log_weight + twist - was)
    # Short of 1 by the square of the step, 0.007; by 0.07 with half of the shift, or another's.
    assert np.sum(weight) ** 2 / np.sum(weight**2) / count > 0.98


def test_a_weight_that_is_no_number_makes_no_draw():
    """Of its measurement only: `categorical` alone would take particle 0."""
    x = jnp.arange(12.0).reshape(3, 4, 1, 1, 1)
    log_weight = jnp.zeros((3, 4)).at[1, 2].set(jnp.nan).at[2, :3].set(-jnp.inf)
    found = one_of_each(jax.random.key(0), x, jax.nn.log_softmax(log_weight)).ravel()
    assert found[0] in x[0].ravel() and np.isnan(found[1]) and found[2] == x[2, 3, 0, 0, 0]
    index, kept = _resample(jax.random.key(0), log_weight)  # and it is not lost on the way
    assert np.isnan(kept[1, 2]) and np.array_equal(index[1], np.arange(4))


def test_one_draw_for_each_measurement():
    """Each from its own particles: as many measurements, as many posteriors."""
    operator = OPERATORS["average"]
    y = operator.forward(jnp.asarray([-1.0, 1.0])[:, None, None, None] * jnp.ones((2, *IMAGE)))
    ys = jnp.repeat(y, 32, axis=0)
    found = jax.jit(
        lambda key: smc_sample(
            key,
            VP,
            score_fn(GAUSSIAN, VP),
            operator,
            ys,
            (64, *IMAGE),
            noise_std=NOISE,
            steps=50,
            t_min=1e-3,
            particles=16,
            prior_std=0.5,
        )
    )(jax.random.key(0))
    assert np.all(found.nfe == 16 * 51) and np.all(found.converged)
    matrix = matrix_of(operator, IMAGE)
    for half, i in ((found.x[:32], 0), (found.x[32:], 32)):
        exact = GAUSSIAN.posterior(matrix, np.asarray(ys[i]).ravel(), NOISE).moments()
        spread = np.trace(exact[1]) ** 0.5
        off = np.asarray(half).reshape(32, -1).mean(axis=0) - exact[0]
        # 32 draws: 0.18.
        assert np.linalg.norm(off) / spread < 0.4


def test_resampling():
    """Counts are count x weight to within 1, weights start anew; even ones are left alone."""
    weight = jnp.array([[0.7, 0.05, 0.2, 0.05], [0.3, 0.2, 0.25, 0.25]])
    index, log_weight = _resample(jax.random.key(0), jnp.log(weight))
    counts = np.bincount(index[0], minlength=4)
    assert np.all(np.abs(counts - 4 * np.asarray(weight[0])) < 1)
    np.testing.assert_array_equal(log_weight[0], 0)
    np.testing.assert_array_equal(index[1], np.arange(4))
    np.testing.assert_allclose(log_weight[1], jnp.log(weight[1]))
    draws = [_resample(jax.random.key(i), jnp.log(weight))[0][0] for i in range(200)]
    share = np.bincount(np.concatenate(draws), minlength=4) / 800
    # Systematic: the count of each is one of two neighbours, with a std of 0.5 at most.
    np.testing.assert_allclose(share, weight[0], atol=4 * 0.5 / 4 / 200**0.5)
