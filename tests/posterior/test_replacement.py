"""Known parts come out as given, the rest as the law of the data says, and nothing else changes."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gaussian import DEFAULTS, correlated, default_sde, diagonal

from scoresde_jax.posterior import colorize, decouple_gray, inpaint, recouple_gray
from scoresde_jax.posterior.operators.gray import GRAY_BASIS
from scoresde_jax.sampling import langevin, pc_sample, reverse_diffusion
from scoresde_jax.types import Update

BATCH, IMAGE = 512, (2, 2, 3)
SHAPE = (BATCH, *IMAGE)
STEPS = 150
T_MIN = 1e-5
INDEPENDENT = diagonal(IMAGE)
COUPLED = dataclasses.replace(correlated(IMAGE), std=np.linspace(0.4, 1, 12, dtype=np.float32))
VP = DEFAULTS["vp"]
MASK = np.arange(np.prod(IMAGE)).reshape(IMAGE) % 3 != 1
X = jax.random.normal(jax.random.key(1), (4, *IMAGE))
KNOWN = jnp.broadcast_to(jax.random.uniform(jax.random.key(2), IMAGE, minval=-1), SHAPE)
GRAY = jnp.broadcast_to(KNOWN.mean(axis=-1, keepdims=True), SHAPE)
CONSTRAINTS = {
    "inpaint": partial(inpaint, known=KNOWN, mask=MASK),
    "colorize": partial(colorize, gray=GRAY),
}


@jax.jit
def run(sde, data, chosen):
    def constrain(*arguments):  # chosen when the program runs: one compilation per SDE
        return jax.lax.switch(chosen, list(CONSTRAINTS.values()), *arguments)

    return pc_sample(
        jax.random.key(0),
        sde,
        data.score_fn(sde),
        SHAPE,
        predictor=partial(reverse_diffusion, n=STEPS),
        corrector=partial(langevin, snr=0.2, steps=2, alpha=lambda t: sde.chain_alpha(t, STEPS)),
        constrain=constrain,
        steps=STEPS,
        t_min=T_MIN,
    ).x


def sample(sde, data, constraint):
    return run(sde, data, list(CONSTRAINTS).index(constraint))


def known_part(constraint, x):
    return x[:, MASK] if constraint == "inpaint" else x.mean(axis=-1)


def conditional_mean(data, constraint):
    """E[x_0 | what is known], (dims,), by the Schur complement; float64."""
    dims = int(np.prod(IMAGE))
    covariance = (data.basis * data.std.astype(np.float64) ** 2) @ data.basis.T
    observe = np.eye(dims)[MASK.ravel()]
    if constraint == "colorize":
        observe = np.kron(np.eye(dims // 3), np.ones((1, 3)) / 3)
    gain = covariance @ observe.T @ np.linalg.inv(observe @ covariance @ observe.T)
    mean = data.mean.ravel()
    return mean + gain @ observe @ (np.asarray(KNOWN[0]).ravel() - mean)


@default_sde
@pytest.mark.parametrize("constraint", CONSTRAINTS)
def test_the_known_part_is_the_data_and_the_rest_follows_it(sde, constraint):
    x = sample(sde, COUPLED, constraint)
    known = known_part(constraint, KNOWN)
    # x_mean holds the mean at t_min, which is 5e-7 of its size below the data.
    np.testing.assert_allclose(known_part(constraint, x), known, atol=1e-5)
    # Draws are 0.05 off the mean, 150 steps 0.12 under linear VE; what is known moves it by 0.76.
    found = np.asarray(x.mean(axis=0)).ravel()
    np.testing.assert_allclose(found, conditional_mean(COUPLED, constraint), atol=0.2)


def test_the_rest_of_independent_pixels_is_as_without_knowledge():
    x = np.asarray(sample(VP, INDEPENDENT, "inpaint"))[:, ~MASK]
    std = INDEPENDENT.std.reshape(IMAGE)[~MASK]
    np.testing.assert_allclose(x.mean(axis=0), INDEPENDENT.mean[~MASK], atol=0.15)
    np.testing.assert_allclose(x.std(axis=0), std, rtol=0.12)


def test_gray_basis():
    np.testing.assert_allclose(GRAY_BASIS.T @ GRAY_BASIS, np.eye(3), atol=1e-15)
    np.testing.assert_allclose(GRAY_BASIS[:, 0], 1 / np.sqrt(3))
    np.testing.assert_allclose(decouple_gray(X)[..., 0], np.sqrt(3) * X.mean(axis=-1), atol=1e-6)
    np.testing.assert_allclose(recouple_gray(decouple_gray(X)), X, atol=1e-6)


UPDATE = Update(X, 0.5 * X, 3)
TIME = jnp.full(X.shape[:1], 0.3)


def test_nothing_known_changes_nothing():
    found = inpaint(jax.random.key(0), VP, UPDATE, TIME, known=X, mask=np.zeros(IMAGE, bool))
    assert found.nfe == UPDATE.nfe
    np.testing.assert_array_equal(found.x, UPDATE.x)
    np.testing.assert_array_equal(found.x_mean, UPDATE.x_mean)


@pytest.mark.parametrize("constraint", CONSTRAINTS)
def test_one_move(constraint):
    """Known coordinates are data noised to t; x_mean is free of noise, everywhere."""
    known, count = 2 * X, 4
    options = {"inpaint": {"known": known, "mask": MASK}, "colorize": {"gray": known}}[constraint]
    constrain = {"inpaint": inpaint, "colorize": colorize}[constraint]

    def residual(key):
        found = constrain(key, VP, UPDATE, TIME, **options)
        mean, std = VP.marginal(known, TIME)
        np.testing.assert_allclose(
            known_part(constraint, found.x_mean), known_part(constraint, mean), atol=1e-6
        )
        for ours, before in ((found.x, UPDATE.x), (found.x_mean, UPDATE.x_mean)):
            unknown = ours[:, ~MASK], before[:, ~MASK]
            if constraint == "colorize":
                unknown = decouple_gray(ours)[..., 1:], decouple_gray(before)[..., 1:]
            np.testing.assert_allclose(*unknown, atol=1e-6)
        return (known_part(constraint, found.x - mean) / std[0]).ravel()

    z = np.concatenate([residual(jax.random.key(seed)) for seed in range(count)])
    expected = 1.0 if constraint == "inpaint" else 3**-0.5  # a mean of three channels
    assert np.std(z) == pytest.approx(expected, abs=4 * expected / np.sqrt(2 * z.size))
    assert abs(np.mean(z)) < 4 * expected / np.sqrt(z.size)
