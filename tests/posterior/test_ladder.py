"""The step down is the posterior of the chains, and keeps the marginals."""

from functools import partial

import jax.numpy as jnp
import numpy as np
from gaussian import DEFAULTS, default_sde

from scoresde_jax.posterior.ladder import down, ladder
from scoresde_jax.sampling import uniform_grid
from scoresde_jax.sde import VESDE, VPSDE, chain_time

STEPS, T_MIN = 20, 1e-3


def rungs(sde, grid=uniform_grid, steps=STEPS, t_min=T_MIN):
    levels = ladder(sde, grid, steps, t_min)
    return levels, down(levels)


@default_sde
def test_marginals_are_kept(sde):
    """x_s has mean alpha_s x_0 and variance sigma_s^2 if x_t has its own."""
    levels, (keep, weight, noise) = rungs(sde)
    alpha, std = levels.alpha, levels.std
    np.testing.assert_allclose(keep * alpha[:-1] + weight, alpha[1:], rtol=2e-6, atol=1e-7)
    np.testing.assert_allclose(jnp.hypot(keep * std[:-1], noise), std[1:], rtol=2e-6, atol=1e-7)


@default_sde
def test_the_last_step_is_the_prediction(sde):
    _, (keep, weight, noise) = rungs(sde)
    assert (keep[-1], weight[-1], noise[-1]) == (0, 1, 0)


def test_ddpm():
    """Ho et al. 2020, eqs. 6 and 7."""
    levels, (keep, weight, noise) = rungs(VPSDE())
    total = np.asarray(levels.alpha, np.float64)[:-1] ** 2  # alpha-bar, from the noisiest
    bar, below = total[:-1], total[1:]
    beta = 1 - bar / below
    np.testing.assert_allclose(weight[:-1], np.sqrt(below) * beta / (1 - bar), rtol=1e-4)
    np.testing.assert_allclose(
        keep[:-1], np.sqrt(1 - beta) * (1 - below) / (1 - bar), rtol=1e-3, atol=1e-6
    )
    np.testing.assert_allclose(
        noise[:-1], np.sqrt((1 - below) / (1 - bar) * beta), rtol=1e-3, atol=1e-6
    )


def test_smld():
    """The chain's own ancestral step (Song et al. 2021, eq. 47) on the chain's own times."""
    sde, n = VESDE(), 12
    times = chain_time(jnp.arange(n), n)[::-1]
    x, score = 1.7, -0.4
    _, (keep, weight, noise) = rungs(sde, lambda *_: times, n - 1)
    for i in range(n - 1):
        mean, std = sde.ancestral(jnp.asarray(x), jnp.asarray(score), times[i], n)
        x0 = x + sde.sigma(times[i]) ** 2 * score
        np.testing.assert_allclose(keep[i] * x + weight[i] * x0, mean, rtol=1e-4)
        np.testing.assert_allclose(noise[i], std, rtol=1e-4)


def test_grids_are_taken_as_they_are():
    grid = partial(uniform_grid)
    levels, _ = rungs(DEFAULTS["vp"], grid)
    np.testing.assert_array_equal(levels.times, uniform_grid(DEFAULTS["vp"], STEPS, T_MIN))
    assert levels.alpha[-1] == 1 and levels.std[-1] == 0
