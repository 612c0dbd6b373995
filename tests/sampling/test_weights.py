"""The weights integrate polynomials, also for small steps in float32."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad

from scoresde_jax.sampling.weights import (
    Steps,
    exact_weights,
    explicit_steps,
    implicit_steps,
    middle_weights,
)
from scoresde_jax.sde import VPSDE, half_log_snr


def one_step(h, nodes, known=None):
    """A step from 0 to h that may use predictions at the nodes."""
    nodes = jnp.asarray([nodes], float)
    known = jnp.ones_like(nodes, bool) if known is None else jnp.asarray([known])
    return Steps(jnp.zeros(1), jnp.asarray([h], float), nodes, known)


@pytest.mark.parametrize("h", [1e-3, 0.3, 2.0, 14.0])
@pytest.mark.parametrize("ahead", [False, True], ids=["explicit", "implicit"])
def test_exact_weights_integrate_every_polynomial_through_the_nodes(h, ahead):
    with jax.enable_x64(True):
        nodes = [h, 0.0, -0.7 * h, -1.1 * h][0 if ahead else 1 :]
        weights = np.asarray(exact_weights(one_step(h, nodes)))[0]
        for power in range(len(nodes)):
            expected, _ = quad(lambda u, p=power: h * np.exp(-h * (1 - u)) * u**p, 0, 1, epsabs=0)
            found = weights @ (np.asarray(nodes) / h) ** power
            np.testing.assert_allclose(found, expected, rtol=1e-11)


def test_what_is_not_known_has_no_weight_and_the_rest_is_the_lower_method():
    with jax.enable_x64(True):
        nodes = [0.0, -0.4, -0.9]
        for k in (1, 2):
            known = [i < k for i in range(3)]
            found = np.asarray(exact_weights(one_step(0.5, nodes, known)))[0]
            lower = np.asarray(exact_weights(one_step(0.5, nodes[:k])))[0]
            np.testing.assert_allclose(found[:k], lower, rtol=1e-12)
            np.testing.assert_array_equal(found[k:], 0)
        total = jnp.asarray([0.3])
        alone = middle_weights(one_step(0.5, nodes[:2], [True, False]), total)
        np.testing.assert_allclose(alone, [[0.3, 0.0]], rtol=1e-12)


def test_middle_weights_take_a_line_at_its_middle():
    with jax.enable_x64(True):
        found = np.asarray(middle_weights(one_step(0.5, [0.0, -0.4]), jnp.asarray([0.3])))[0]
        np.testing.assert_allclose(found.sum(), 0.3, rtol=1e-12)
        np.testing.assert_allclose(found @ [0.0, -0.4], 0.3 * 0.25, rtol=1e-12)


@pytest.mark.parametrize("h", [1e-4, 1e-2, 1.0])
def test_float32_loses_nothing_to_small_steps(h):
    nodes = [0.0, -h, -2 * h]
    with jax.enable_x64(True):
        expected = np.asarray(exact_weights(one_step(h, nodes)))[0]
    found = np.asarray(exact_weights(one_step(h, nodes)))[0]
    assert found.dtype == np.float32
    # A few roundings; phi functions in closed form would be off by 1e-7 / h^2.
    np.testing.assert_allclose(found, expected, rtol=2e-6)


def test_steps_know_their_past_and_only_that():
    with jax.enable_x64(True):
        sde, times = VPSDE(), jnp.asarray([0.6, 0.5, 0.3, 0.2])
        at = np.asarray(half_log_snr(sde, jnp.asarray([0.9, 0.8, 0.6, 0.5, 0.3, 0.2])))
        steps = explicit_steps(sde, times, (), 3)
        np.testing.assert_array_equal(steps.known, np.tri(3, dtype=bool))
        np.testing.assert_allclose(steps.start, at[2:5])
        np.testing.assert_allclose(steps.end, at[3:6])
        np.testing.assert_allclose(steps.nodes[2], at[[4, 3, 2]])

        given = explicit_steps(sde, times, ((0.8, None), (0.9, None)), 3)
        assert np.all(given.known)
        np.testing.assert_allclose(given.nodes, at[[[2, 1, 0], [3, 2, 1], [4, 3, 2]]])

        ahead = implicit_steps(sde, times, ((0.8, None),), 3)
        np.testing.assert_allclose(ahead.nodes, at[[[3, 2, 1], [4, 3, 2], [5, 4, 3]]])
        assert np.all(ahead.known)
