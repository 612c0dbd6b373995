"""The SDE of the VE digits, whose noise starts at 10 and not at thousands: closed forms again."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from posterior.problems import GAUSSIAN, IMAGE, WHITE, score_fn
from scoresde_jax import posterior
from scoresde_jax.posterior.operators import average, half_mask, matrix_of
from scoresde_jax.sampling import langevin, reverse_diffusion
from scoresde_jax.sde import VESDE

VE = VESDE(0.01, 10.0)
DRAWS, STEPS = 512, 100
MOVES = {
    "predictor": partial(reverse_diffusion, n=STEPS),
    "corrector": partial(langevin, snr=0.2, steps=2),
}
# Solver, prior, operator; bounds on the errors of mean and covariance. Exact draws are 0.05 and
# 0.17 off; DDRM's covariance is off by a quarter more, as the table of the docs has it for VP.
CASES = {
    "pigdm": (
        partial(posterior.pigdm_sample, prior_std=0.5),
        WHITE,
        half_mask(IMAGE),
        (0.1, 0.35),
    ),
    "ddrm": (posterior.ddrm_sample, GAUSSIAN, average(IMAGE, 2), (0.15, 0.45)),
    "replacement": (
        partial(posterior.replacement_sample, **MOVES),
        GAUSSIAN,
        average(IMAGE, 2),
        (0.15, 0.3),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_moments_of_the_posterior(name):
    solver, prior, operator, (most_mean, most_covariance) = CASES[name]
    truth = jnp.asarray(prior.draw(7, 1).reshape(1, *IMAGE), jnp.float32)
    y = operator.forward(truth)
    bounded = partial(posterior.bounded_score, VE, score_fn(prior, VE), low=-4.0, high=4.0)
    x = jax.jit(
        lambda y: (
            solver(
                jax.random.key(0),
                VE,
                bounded,
                operator,
                y,
                (DRAWS, *IMAGE),
                noise_std=0.0,
                steps=STEPS,
                t_min=1e-2,
            ).x
        )
    )(jnp.repeat(y, DRAWS, axis=0))
    np.testing.assert_allclose(operator.forward(x[:4]), np.repeat(y, 4, axis=0), atol=2e-3)
    x = np.asarray(x, np.float64).reshape(DRAWS, -1)
    exact = prior.posterior(matrix_of(operator, IMAGE), np.asarray(y).ravel(), 0.0)
    mean, covariance = exact.moments()
    off_mean = np.linalg.norm(x.mean(axis=0) - mean) / np.sqrt(np.trace(covariance))
    off_covariance = np.linalg.norm(np.cov(x.T) - covariance) / np.linalg.norm(covariance)
    assert off_mean < most_mean and off_covariance < most_covariance
