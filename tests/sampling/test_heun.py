"""Churn: how much noise, and where."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gaussian import default_sde

from sampling.moments import alpha_std, law, moments, score_fn
from scoresde_jax.sampling import heun
from scoresde_jax.sde import VESDE

TIMES = np.asarray([1.0, 0.5, 0.45, 0.4])


def carried(sde, times=TIMES, **options):
    """Mean and std at the end, and s = sigma / alpha wherever the score was asked for."""
    asked = []

    def score(x, t):
        jax.debug.callback(lambda t: asked.append(float(t[0])), t, ordered=True)
        return score_fn(sde)(x, t)

    def carry(x):
        return heun(None, sde, score, x, jnp.asarray(times), **options).x

    found = moments(carry, sde, times[0], len(times) - 1)
    jax.effects_barrier()
    return found, ratio(sde, np.asarray(asked))


def ratio(sde, t):
    alpha, std = alpha_std(sde, t)
    return np.asarray(std) / np.asarray(alpha)


@default_sde
@pytest.mark.parametrize("s_churn, gamma", [(0.3, 0.1), (30.0, 2**0.5 - 1)], ids=["some", "most"])
def test_the_score_is_asked_for_where_the_noise_is_raised_to(sde, s_churn, gamma):
    with jax.enable_x64(True):
        _, asked = carried(sde, s_churn=s_churn)
        s = ratio(sde, TIMES)
    raised = np.minimum(s * (1 + gamma), s[0])[:-1]  # never beyond t = 1
    np.testing.assert_allclose(asked, np.stack([raised, s[1:]], axis=1).reshape(-1), rtol=1e-9)


def test_churn_is_only_between_s_min_and_s_max():
    with jax.enable_x64(True):
        sde, times = VESDE(), np.asarray([1.0, 0.9, 0.8, 0.7, 0.6, 0.5])
        s = ratio(sde, times)
        _, asked = carried(sde, times, s_churn=0.5, s_min=s[3] * 0.99, s_max=s[2] * 1.01)
    np.testing.assert_allclose(asked[::2] / s[:-1], [1, 1, 1.1, 1.1, 1], rtol=1e-9)


@default_sde
def test_the_noise_that_is_added_takes_s_to_the_raised_level(sde):
    """Where the score is 0, x / alpha stays, and all variance that comes in is that of churn."""

    def carry(x):
        times = jnp.asarray(TIMES)
        return heun(None, sde, lambda x, t: 0 * x, x, times, s_churn=0.3, s_noise=1.5).x

    with jax.enable_x64(True):
        mean, std = moments(carry, sde, 1.0, 3)
        s, alpha = ratio(sde, TIMES), np.asarray(alpha_std(sde, TIMES)[0])
        added = 1.5**2 * np.sum((1.1 * s[1:3]) ** 2 - s[1:3] ** 2)
        start = law(sde, 1.0) / alpha[0]
    np.testing.assert_allclose(mean / alpha[-1], start[0], rtol=1e-12)
    np.testing.assert_allclose(std / alpha[-1], np.sqrt(start[1] ** 2 + added), rtol=1e-9)


def test_without_churn_no_noise_is_drawn():
    sde, x, times = VESDE(), jnp.ones((2, 1)), jnp.asarray(np.float32(TIMES))
    plain = jax.make_jaxpr(lambda key: heun(key, sde, score_fn(sde), x, times).x)
    churn = jax.make_jaxpr(lambda key: heun(key, sde, score_fn(sde), x, times, s_churn=1.0).x)
    assert "random_bits" not in str(plain(jax.random.key(0)))
    assert "random_bits" in str(churn(jax.random.key(0)))
