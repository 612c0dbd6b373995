"""Noise of the right size: the law of what is drawn converges, and the mean is exact."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sampling.chosen import fast
from sampling.moments import STD, alpha_std, law, moments, score_fn
from scoresde_jax.sampling import (
    ddim,
    dpm_solver_2m,
    dpm_solver_3m,
    euler_maruyama,
    heun,
    log_snr_grid,
    reverse_diffusion,
    sde_dpm_solver_1,
    sde_dpm_solver_2m,
    unipc,
)
from scoresde_jax.sde import VESDE, VPSDE

COUNTS = (32, 64, 128, 256)
METHODS = {
    "sde_dpm_solver_1": (sde_dpm_solver_1, 1),
    "sde_dpm_solver_2m": (sde_dpm_solver_2m, 2),
    "heun-churn": (partial(heun, s_churn=4.0), 2),
}


@pytest.mark.parametrize("method, order", METHODS.values(), ids=METHODS)
def test_the_law_of_the_samples_converges(method, order):
    sde, t_min = VPSDE(), 0.0268  # where sigma / alpha = 0.1

    def carry(x, steps):
        return method(None, sde, score_fn(sde), x, log_snr_grid(sde, steps, t_min)).x

    with jax.enable_x64(True):
        found = [moments(partial(carry, steps=steps), sde, 1.0, steps) for steps in COUNTS]
        mean, std = np.abs(found - law(sde, t_min)).T / STD
    # The x0-prediction at the mean is the mean, at all times, and all methods keep it.
    assert np.all(mean < 1e-13)
    # 0.2 below the order: the next term of the error, at steps of 0.25 in half log-SNR (VP).
    assert np.all(np.log2(std[:-1] / std[1:]) > order - 0.2)


@pytest.mark.parametrize("move", [euler_maruyama, reverse_diffusion])
def test_predictors_are_of_weak_order_one(move):
    """On an even grid from 1 to 1/2, as `pc_sample` has it."""
    sde = VPSDE()

    def carry(x, steps):
        def step(i, x):
            t = jnp.full(x.shape[:1], 1 - i / (2 * steps))
            return move(i, sde, score_fn(sde), x, t, n=2 * steps).x

        return jax.lax.fori_loop(0, steps, step, x)

    with jax.enable_x64(True):
        found = [moments(partial(carry, steps=steps), sde, 1.0, steps) for steps in COUNTS]
        errors = np.linalg.norm(found - law(sde, 0.5), axis=1)
    assert np.all(np.log2(errors[:-1] / errors[1:]) > 0.8)


def point_score(sde, x0):
    """The score of data that are x0, and nothing else."""

    def score(x, t):
        m, s = sde.marginal(jnp.ones_like(t), t)
        return (m[:, None] * x0 - x) / s[:, None] ** 2

    return score


def test_a_step_of_first_order_with_noise_is_that_of_ddpm():
    """The law of x_t given x_s and x_0, with the x0-prediction for x_0 (Ho et al. 2020, eq. 7)."""
    sde, times, x0 = VPSDE(), np.asarray([0.6, 0.4]), 0.3

    def carry(x):
        return sde_dpm_solver_1(None, sde, point_score(sde, x0), x, jnp.asarray(times)).x

    with jax.enable_x64(True):
        bar_s, bar_t = np.asarray(alpha_std(sde, times)[0]) ** 2  # alphabar of the chain
        alpha = bar_s / bar_t
        scale = np.sqrt(alpha) * (1 - bar_t) / (1 - bar_s)
        shift = np.sqrt(bar_t) * (1 - alpha) / (1 - bar_s) * x0
        noise = np.sqrt((1 - bar_t) / (1 - bar_s) * (1 - alpha))
        mean, std = law(sde, times[0])
        found = moments(carry, sde, times[0], 1)
    np.testing.assert_allclose(
        found, [scale * mean + shift, np.hypot(scale * std, noise)], rtol=1e-12
    )


@pytest.mark.parametrize("sde", [VPSDE(), VESDE()], ids=["vp", "ve"])
def test_a_prediction_that_does_not_change_is_integrated_exactly(sde):
    """Data that are one point: the flow keeps the noise, (x - alpha x_0) / sigma, in any steps."""
    point, times = np.float32([0.5, -1.0, 2.0]), np.float32([1.0, 0.7, 0.65, 0.5, 0.1])

    @fast
    def carry(x):
        methods = (ddim, dpm_solver_2m, dpm_solver_3m, partial(unipc, order=3))
        return [
            method(None, sde, point_score(sde, point), x, jnp.asarray(times)).x
            for method in methods
        ]

    x = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    alpha, std = (np.asarray(v) for v in alpha_std(sde, times))
    for found in carry(alpha[0] * point + std[0] * x):
        # float32, in which x_1 and sigma^2 score cancel to alpha x_0: alpha is 0.0066 for VP, which
        # leaves 1e-5 of x_0, and for VE x is 50 times as large.
        np.testing.assert_allclose(found, alpha[-1] * point + std[-1] * x, atol=1e-4)
