"""Replacement and projection: what is known comes out as given, the rest goes with it."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from posterior.problems import GAUSSIAN, IMAGE, SDES, score_fn
from posterior.test_inverse import Bare
from scoresde_jax.posterior import projection_sample, replacement_sample
from scoresde_jax.posterior.operators import (
    Gray,
    average,
    bicubic,
    blur,
    half_mask,
    kspace_lines,
    matrix_of,
    radon,
)
from scoresde_jax.posterior.projection import project
from scoresde_jax.sampling import langevin, reverse_diffusion

DRAWS, STEPS = 512, 100
VP = SDES["vp"]
TRUTH = GAUSSIAN.draw(0, 1).reshape(IMAGE).astype(np.float32)
OPERATORS = {
    "half": half_mask(IMAGE),
    "gray": Gray(),
    "average": average(IMAGE, 2),
    "bicubic": bicubic(IMAGE, 2),
    "kspace": kspace_lines(IMAGE, 2, 1),
    "radon": radon(IMAGE, 2),
}
both = pytest.mark.parametrize("solver", [replacement_sample, projection_sample])


CORRECTOR = partial(langevin, snr=0.2, steps=3, alpha=partial(VP.chain_alpha, n=STEPS))
MOVES = {"predictor": partial(reverse_diffusion, n=STEPS), "corrector": CORRECTOR}


def measured(operator, draws=DRAWS):
    return operator.forward(np.broadcast_to(TRUTH, (draws, *IMAGE)))


@jax.jit(static_argnames=("solver", "steps", "noise_std", "strength"))
def run(operator, y, *, solver, steps, noise_std=0.0, strength=None):
    options = {} if strength is None else {"strength": strength}
    return solver(
        jax.random.key(0),
        VP,
        score_fn(GAUSSIAN, VP),
        operator,
        y,
        (len(y), *IMAGE),
        noise_std=noise_std,
        steps=steps,
        t_min=1e-5,
        **MOVES,
        **options,
    )


@pytest.mark.parametrize("name", OPERATORS)
@both
def test_without_noise_draws_are_consistent(solver, name):
    operator = OPERATORS[name]
    y = measured(operator, 4)
    found = run(operator, y, solver=solver, steps=3)
    np.testing.assert_allclose(operator.forward(found.x), y, atol=3e-5)
    assert np.all(found.nfe == 4 * 3)


@both
def test_draws_are_near_the_posterior(solver):
    """Exact draws are off by 0.044 in the mean and 0.15 in the covariance."""
    operator = OPERATORS["average"]
    y = measured(operator)
    x = np.asarray(run(operator, y, solver=solver, steps=STEPS).x, np.float64)
    x = x.reshape(DRAWS, -1)
    exact = GAUSSIAN.posterior(matrix_of(operator, IMAGE), np.asarray(y[0]).ravel(), 0.0)
    mean, covariance = exact.moments()
    assert np.linalg.norm(x.mean(axis=0) - mean) / np.sqrt(np.trace(covariance)) < 0.15
    off = np.linalg.norm(np.cov(x.T) - covariance) / np.linalg.norm(covariance)
    assert off < 0.3


def test_projection_without_a_decomposition():
    """By conjugate gradients, one projection at t: what the decomposition gives."""
    x = jax.random.normal(jax.random.key(1), (2, *IMAGE))
    t, key = jnp.array([0.2, 0.7]), jax.random.key(2)
    for operator in (OPERATORS["bicubic"], OPERATORS["radon"]):
        y = operator.forward(0.5 * x)
        found, expected = (
            project(key, VP, way(operator), y, x, t, strength=0.6) for way in (Bare, lambda o: o)
        )
        np.testing.assert_allclose(found, expected, atol=1e-3)


@pytest.mark.parametrize("strength", [0.0, 0.3, 1.0])
def test_one_projection(strength):
    """Song et al. 2022: along A x goes that far to y_t = alpha y + sigma A z; across it stays."""
    operator = OPERATORS["average"]
    count, t = 4096, jnp.asarray(0.3)
    alpha, std = VP.marginal(jnp.ones(()), t)
    x = jnp.broadcast_to(jax.random.normal(jax.random.key(1), IMAGE), (count, *IMAGE))
    y = measured(operator)[:1]
    ys = jnp.broadcast_to(y, (count, *y.shape[1:]))
    found = project(jax.random.key(2), VP, operator, ys, x, t, strength=strength)
    along = operator.forward(found)
    expected = (1 - strength) * operator.forward(x[:1]) + strength * alpha * y
    # 4 standard errors; the noise of a mean of 4 pixels has half their std.
    error = 4 * strength * std / 2 / count**0.5 + 1e-5
    np.testing.assert_allclose(along.mean(axis=0), expected[0], atol=error)
    spread = np.std(np.asarray(along - along.mean(axis=0)))
    np.testing.assert_allclose(spread, strength * std / 2, rtol=0.02, atol=1e-6)
    across = found - x - 4 * operator.adjoint(along - operator.forward(x))
    np.testing.assert_allclose(across, 0, atol=1e-5)


def test_strength_0_knows_nothing():
    """With noise in y the last projection has the strength of the others."""
    operator = OPERATORS["average"]
    y = measured(operator, 8)
    same = {"solver": projection_sample, "steps": 3, "noise_std": 0.1, "strength": 0.0}
    np.testing.assert_array_equal(run(operator, y, **same).x, run(operator, y + 1, **same).x)


def test_ill_conditioned_blur_stays_finite():
    """What was blurred below 1e-4 is left to the prior."""
    line = np.array([1.0])
    for _ in range(7):
        line = np.convolve(line, [0.25, 0.5, 0.25])  # its transfer is cos^14: 1e-10 near the end
    operator = blur((16, 16, 3), np.outer(line, line))
    x = jax.random.normal(jax.random.key(0), (2, 16, 16, 3))
    t = jnp.asarray(1e-5)
    found = project(jax.random.key(1), VP, operator, operator.forward(x), x, t)
    # The noise of t, 0.002 in all; and 1e-7 divided by 1e-4.
    np.testing.assert_allclose(found, x, atol=0.02)
    fresh = project(jax.random.key(1), VP, operator, operator.forward(x), 0 * x, t)
    np.testing.assert_allclose(operator.forward(fresh), operator.forward(x), atol=5e-3)
    assert np.abs(fresh).max() < 10
