"""PiGDM's score is that of the posterior where it should be, and is a score for every sampler."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from posterior.operator_list import IMAGE, OPERATORS
from posterior.test_inverse import Bare
from scoresde_jax.posterior import pigdm_sample, pigdm_score
from scoresde_jax.posterior.exact import gaussian
from scoresde_jax.posterior.operators import matrix_of
from scoresde_jax.sampling import dpm_solver_2m
from scoresde_jax.sde import VESDE, VPSDE, LinearVESDE, SubVPSDE

SDES = {"ve": VESDE(), "vp": VPSDE(), "subvp": SubVPSDE(), "linear_ve": LinearVESDE(20.0)}
SIZE, STD = int(np.prod(IMAGE)), 0.5
MEAN = np.linspace(-0.5, 0.5, SIZE)
WHITE = gaussian(MEAN, STD**2 * np.eye(SIZE))
TIMES = jnp.array([0.02, 0.2, 0.5, 1.0])
X = jax.random.normal(jax.random.key(0), (4, *IMAGE))
Y = 0.3 * jax.random.normal(jax.random.key(1), (4, *IMAGE))
SOME = ("box", "gray", "bicubic", "motion blur", "kspace", "radon")


def scores(sde, operator, noise_std):
    """PiGDM's and the posterior's, at four times."""
    y = operator.forward(Y)
    alpha, std = sde.marginal(jnp.ones(4), TIMES)
    x = alpha[:, None, None, None] * MEAN.reshape(IMAGE) + std[:, None, None, None] * X
    found = jax.jit(
        lambda x: pigdm_score(
            sde,
            lambda x, t: WHITE.score(sde, x, t),
            operator,
            y,
            x,
            TIMES,
            noise_std=noise_std,
            prior_std=STD,
        )
    )(x)
    matrix = matrix_of(operator, IMAGE)
    expected = [
        WHITE.posterior(matrix, row.ravel(), noise_std).score(sde, x[i : i + 1], TIMES[i])
        for i, row in enumerate(np.asarray(y))
    ]
    size = np.asarray(std)[:, None]  # a score is of the order of 1 / std
    return size * found.reshape(4, -1), size * np.concatenate(expected).reshape(4, -1)


@pytest.mark.parametrize("name", SOME)
@pytest.mark.parametrize("sde", SDES)
def test_exact_for_white_data(sde, name):
    found, expected = scores(SDES[sde], OPERATORS[name], 0.1)
    np.testing.assert_allclose(found, expected, atol=2e-3)


@pytest.mark.parametrize("name", ["mask", "average", "hadamard", "half"])
def test_exact_without_noise(name):
    found, expected = scores(SDES["vp"], OPERATORS[name], 0.0)
    np.testing.assert_allclose(found, expected, atol=2e-3)


def test_exact_by_conjugate_gradients():
    found, expected = scores(SDES["vp"], Bare(OPERATORS["motion blur"]), 0.1)
    np.testing.assert_allclose(found, expected, atol=2e-3)


def test_samples_have_the_moments_of_the_posterior():
    """With a sampler of order 2 as with any; the flow leaves only the error of its draws."""
    operator, draws = OPERATORS["motion blur"], 1024
    y = jnp.broadcast_to(operator.forward(Y[:1]), (draws, *IMAGE))
    found = jax.jit(
        lambda key: pigdm_sample(
            key,
            SDES["vp"],
            lambda x, t: WHITE.score(SDES["vp"], x, t),
            operator,
            y,
            (draws, *IMAGE),
            noise_std=0.1,
            steps=40,
            t_min=1e-4,
            prior_std=STD,
            method=dpm_solver_2m,
        )
    )(jax.random.key(2))
    assert np.all(found.nfe == 41)
    x = np.asarray(found.x).reshape(draws, -1)
    matrix = matrix_of(operator, IMAGE)
    mean, covariance = WHITE.posterior(matrix, np.asarray(y[0]).ravel(), 0.1).moments()
    # Standard errors are 0.5 / 32 at most; 96 means, and 9,216 covariances of 0.25 / 32.
    np.testing.assert_allclose(x.mean(axis=0), mean, atol=4.5 * STD / 32)
    np.testing.assert_allclose(np.cov(x.T), covariance, atol=5.5 * STD**2 * 2**0.5 / 32)


def test_the_score_is_that_of_the_data_where_nothing_is_learnt():
    """From a measurement with a lot of noise."""
    sde, operator = SDES["vp"], OPERATORS["gray"]
    score = partial(WHITE.score, sde)
    y = operator.forward(Y)
    found = pigdm_score(sde, score, operator, y, X, TIMES, noise_std=1e4, prior_std=STD)
    np.testing.assert_allclose(found, score(X, TIMES), rtol=1e-4, atol=1e-4)
