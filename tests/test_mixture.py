"""The mixture is what it says: a density, and its own score."""

import jax
import jax.numpy as jnp
import numpy as np
from gaussian import default_sde
from mixture import APART, GAUSSIAN, flow


@default_sde
def test_the_score_is_the_gradient_of_a_density(sde):
    with jax.enable_x64(True):
        x = 0.6 * jax.random.normal(jax.random.key(0), (5, 2))
        slope = jax.grad(lambda x: jnp.sum(APART.logp(sde, x, 0.3)))(x)
        np.testing.assert_allclose(APART.score(sde, x, 0.3), slope, rtol=1e-9)
        # Riemann's sum, to 6 std beyond the modes and several points to the smallest std, 0.2.
        _, std = sde.marginal(jnp.ones(()), jnp.asarray(0.1))
        line = np.linspace(-1, 1, 201) * (2.5 + 6 * float(std))
        plane = np.stack(np.meshgrid(line, line), -1).reshape(-1, 2)
        density = jax.jit(lambda x: jnp.exp(APART.logp(sde, x, 0.1)))(plane)
        np.testing.assert_allclose(density.sum() * (line[1] - line[0]) ** 2, 1.0, rtol=1e-6)


@default_sde
def test_the_flow_of_one_gaussian_is_its_closed_form(sde):
    with jax.enable_x64(True):
        x = sde.prior_sample(jax.random.key(0), (3, 2))
        found = flow(sde, GAUSSIAN, x, [1.0, 0.5, 0.2])
        units = []
        for t, at in zip([1.0, 0.5, 0.2], found, strict=True):
            m, s = (float(v) for v in sde.marginal(jnp.ones(()), jnp.asarray(t)))
            units.append((at - m * GAUSSIAN.mean[0]) / np.hypot(0.5 * m, s))
        np.testing.assert_allclose(units[1], units[0], atol=1e-9)
        np.testing.assert_allclose(units[2], units[0], atol=1e-9)
