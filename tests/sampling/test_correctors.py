"""Langevin steps have the size they promise and leave p_t alone."""

from functools import partial

import commands
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gaussian import default_sde, isotropic

from scoresde_jax.sampling import annealed_langevin, langevin
from scoresde_jax.sde import VPSDE

SNR = 0.3
N = 100
X = jnp.asarray(np.random.default_rng(0).normal(size=(5, 3, 2, 1)), jnp.float32)
T = jnp.asarray([0.1, 0.3, 0.5, 0.7, 0.9])


def score_fn(x, t):
    """Of no distribution; the step size holds for any."""
    return jnp.sin(x) - 2.0


def mean_norm(x):
    return np.mean(np.sqrt(np.sum(np.asarray(x, np.float64).reshape(5, -1) ** 2, axis=1)))


def alpha_of(sde):
    return lambda t: sde.chain_alpha(t, N)


@default_sde
def test_langevin_takes_the_step_of_algorithm_5(sde):
    update = langevin(jax.random.key(0), sde, score_fn, X, T, snr=SNR, alpha=alpha_of(sde))
    noise = jax.random.normal(jax.random.fold_in(jax.random.key(0), 0), X.shape)
    score = score_fn(X, T)
    ratio = SNR * mean_norm(noise) / mean_norm(score)
    e = (2 * np.asarray(alpha_of(sde)(T)) * ratio**2).reshape(-1, 1, 1, 1)
    np.testing.assert_allclose(update.x_mean, X + e * score, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(update.x, update.x_mean + np.sqrt(2 * e) * noise, rtol=1e-5)
    assert update.nfe == 1


@default_sde
def test_annealed_langevin_takes_a_step_in_proportion_to_the_variance(sde):
    run = partial(annealed_langevin, snr=SNR, alpha=alpha_of(sde))
    update = run(jax.random.key(0), sde, score_fn, X, T)
    noise = jax.random.normal(jax.random.fold_in(jax.random.key(0), 0), X.shape)
    std = sde.marginal(jnp.zeros((5, 1)), T)[1]
    e = np.asarray(2 * alpha_of(sde)(T) * (SNR * std) ** 2).reshape(-1, 1, 1, 1)
    np.testing.assert_allclose(update.x_mean, X + e * score_fn(X, T), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(update.x, update.x_mean + np.sqrt(2 * e) * noise, rtol=1e-5)
    assert update.nfe == 1


def test_signal_to_noise_ratio_is_snr():
    # |e s| / |sqrt(2 e) z| = sqrt(e / 2) |s| / |z| = snr where alpha is 1.
    update = langevin(jax.random.key(0), None, score_fn, X, T, snr=SNR)
    ratio = mean_norm(update.x_mean - X) / mean_norm(update.x - update.x_mean)
    np.testing.assert_allclose(ratio, SNR, rtol=1e-4)


@pytest.mark.parametrize("corrector", [langevin, annealed_langevin])
def test_steps_are_repeated_with_fresh_noise_and_counted(corrector):
    sde = VPSDE()
    zero = lambda x, t: jnp.full_like(x, 1e-6)  # noqa: E731
    key = jax.random.key(0)
    update = corrector(key, sde, zero, X, T, snr=SNR, steps=3)
    assert update.nfe == 3
    if corrector is annealed_langevin:  # steps of known size, so the noises add up
        scale = np.sqrt(2 * 2 * (SNR * sde.marginal(X, T)[1]) ** 2).reshape(-1, 1, 1, 1)
        noise = sum(jax.random.normal(jax.random.fold_in(key, i), X.shape) for i in range(3))
        np.testing.assert_allclose(update.x, X + scale * noise, rtol=1e-4, atol=1e-4)


@partial(jax.jit, compiler_options=commands.LOOPS)
def wander(sde, data, t):
    """Samples of p_t after 150 steps of each corrector."""
    x = data.sample(sde, jax.random.key(0), 4096, t)
    return [
        corrector(jax.random.key(1), sde, data.score_fn(sde), x, t, snr=SNR, steps=150).x
        for corrector in (langevin, annealed_langevin)
    ]


@default_sde
@pytest.mark.parametrize("t", [0.3, 0.8])
def test_correctors_alone_leave_p_t_as_it_is(sde, t):
    data = isotropic((2, 2, 1))
    mean, variance = (np.asarray(v[0]) for v in data.marginal(sde, jnp.full(1, t)))
    std = sde.marginal(jnp.zeros((1, 1)), jnp.full(1, t))[1][0]
    # A step of size e keeps N(mean, v / (1 - e / 2v)) exactly. For `langevin` e is 2 snr^2 v^2
    # over that variance, which is then v (1 + snr^2).
    inflation = [1 + SNR**2, 1 / (1 - (SNR * std) ** 2 / variance)]
    for x, factor in zip(wander(sde, data, t), inflation, strict=True):
        x = np.asarray(x).reshape(4096, -1)
        expected = np.sqrt(variance * factor)
        # 5 standard errors of 4096 independent chains.
        assert np.all(np.abs(x.mean(axis=0) - mean) < 5 * expected / 64)
        assert np.all(np.abs(x.std(axis=0) / expected - 1) < 5 / np.sqrt(2 * 4096))
