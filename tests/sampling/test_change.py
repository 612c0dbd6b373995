"""The predictions of x_0 and of the noise are conditional means."""

import jax
import jax.numpy as jnp
import numpy as np
from gaussian import default_sde, diagonal

from scoresde_jax.sampling.change import alpha_std, denoised, noise_prediction

SHAPE = (2, 2, 1)
DATA = diagonal(SHAPE)


@default_sde
def test_predictions_for_gaussian_data_are_the_regressions(sde):
    x = DATA.sample(sde, jax.random.key(0), 5, 0.3)
    m, s = (float(v) for v in alpha_std(sde, jnp.asarray(0.3)))
    mean, std = np.asarray(DATA.mean).reshape(-1), np.asarray(DATA.std)
    gain = m * std**2 / ((m * std) ** 2 + s**2)  # cov(x_0, x_t) / var(x_t)
    expected = mean + gain * (np.asarray(x).reshape(5, -1) - m * mean)
    x0 = denoised(sde, DATA.score_fn(sde), x, jnp.asarray(0.3))
    eps = noise_prediction(sde, DATA.score_fn(sde), x, jnp.asarray(0.3))
    # float32: x and sigma^2 score cancel to the size of the data, x up to 50 of them.
    np.testing.assert_allclose(x0.reshape(5, -1), expected, atol=2e-5)
    np.testing.assert_allclose(m * x0 + s * eps, x, rtol=1e-5, atol=1e-5)


@default_sde
def test_a_time_for_each_example_is_that_time_for_all(sde):
    x = DATA.sample(sde, jax.random.key(0), 3, 0.3)
    t = jnp.asarray([0.2, 0.3, 0.9])
    for prediction in (denoised, noise_prediction):
        each = prediction(sde, DATA.score_fn(sde), x, t)
        for i in range(3):
            one = prediction(sde, DATA.score_fn(sde), x, t[i])[i]
            np.testing.assert_allclose(each[i], one, rtol=1e-4, atol=1e-5)
