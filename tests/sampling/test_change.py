"""The predictions of x_0 and of the noise are conditional means."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gaussian import DEFAULTS, diagonal

from sampling.chosen import chosen, fast
from scoresde_jax.sampling.change import alpha_std, denoised, noise_prediction

DATA = diagonal((2, 2, 1))


@fast
def predictions(sde, key, t):
    """x_t, alpha and sigma, and both predictions."""
    x = DATA.sample(sde, key, 3, 0.3)
    score_fn = DATA.score_fn(sde)
    both = [predict(sde, score_fn, x, t) for predict in (denoised, noise_prediction)]
    return x.reshape(3, 4), alpha_std(sde, t), [value.reshape(3, 4) for value in both]


@pytest.mark.parametrize("sde", DEFAULTS)
def test_predictions_for_gaussian_data_are_the_regressions(sde):
    x, (m, s), (x0, eps) = predictions(chosen(sde), jax.random.key(0), jnp.asarray(0.3))
    mean, std = np.asarray(DATA.mean).reshape(-1), np.asarray(DATA.std)
    gain = m * std**2 / ((m * std) ** 2 + s**2)  # cov(x_0, x_t) / var(x_t)
    # float32: x and sigma^2 score cancel to the size of the data, x up to 20 times it.
    np.testing.assert_allclose(x0, mean + gain * (x - m * mean), atol=1e-5)
    np.testing.assert_allclose(m * x0 + s * eps, x, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("sde", DEFAULTS)
def test_each_example_may_have_a_time_of_its_own(sde):
    times = np.float32([0.2, 0.3, 0.9])
    _, _, each = predictions(chosen(sde), jax.random.key(0), times)
    for i, t in enumerate(times):
        _, _, alone = predictions(chosen(sde), jax.random.key(0), t)
        for found, expected in zip(each, alone, strict=True):
            np.testing.assert_allclose(found[i], expected[i], rtol=1e-4, atol=1e-4)
