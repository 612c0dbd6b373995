"""The mixture is what it says: a density, and its own score."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gaussian import DEFAULTS
from mixture import APART, GAUSSIAN, flow
from sampling.chosen import chosen, fast


@fast
def gradient(sde, x):
    logp, vjp = jax.vjp(lambda x: APART.logp(sde, x, 0.1), x)
    return logp, vjp(jnp.ones_like(logp))[0], APART.score(sde, x, 0.1)


@pytest.mark.parametrize("sde", DEFAULTS)
def test_the_score_is_the_gradient_of_a_density(sde):
    with jax.enable_x64(True):
        # Riemann's sum, to 6 std beyond the modes and several points to the smallest std, 0.2.
        _, std = DEFAULTS[sde].marginal(1.0, 0.1)
        line = np.linspace(-1, 1, 101) * (2.5 + 6 * float(std))
        plane = np.stack(np.meshgrid(line, line), -1).reshape(-1, 2)
        logp, slope, score = gradient(chosen(sde), plane)
        mass = np.sum(np.exp(logp)) * (line[1] - line[0]) ** 2
    np.testing.assert_allclose(mass, 1.0, rtol=1e-6)
    np.testing.assert_allclose(score, slope, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("sde", DEFAULTS)
def test_the_flow_of_one_gaussian_is_its_closed_form(sde):
    with jax.enable_x64(True):
        sde, times = DEFAULTS[sde], [1.0, 0.5, 0.2]
        x = np.random.default_rng(0).normal(size=(8, 2)) * 2
        units = []
        for t, at in zip(times, flow(sde, GAUSSIAN, x, times), strict=True):
            m, s = (float(v) for v in sde.marginal(jnp.ones(()), jnp.asarray(t)))
            units.append((at - m * GAUSSIAN.mean[0]) / np.hypot(0.5 * m, s))
    np.testing.assert_allclose(units[1], units[0], atol=1e-9)
    np.testing.assert_allclose(units[2], units[0], atol=1e-9)
