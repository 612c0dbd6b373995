"""The weights integrate polynomials, also for small steps in float32."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad

from sampling.chosen import fast
from scoresde_jax.sampling import weights
from scoresde_jax.sampling.weights import Steps, explicit_steps, implicit_steps
from scoresde_jax.sde import VPSDE, half_log_snr

exact_weights, middle_weights = fast(weights.exact_weights), fast(weights.middle_weights)


def one_step(h, nodes, known=(True, True, True, True), dtype=np.float64):
    """A step from 0 to h that may use predictions at the nodes."""
    start, end = np.zeros(1, dtype), np.full(1, h, dtype)
    return Steps(start, end, np.asarray([nodes], dtype), np.asarray([known[: len(nodes)]]))


@pytest.mark.parametrize("h", [1e-3, 0.3, 2.0, 14.0])
@pytest.mark.parametrize("ahead", [False, True], ids=["explicit", "implicit"])
def test_exact_weights_integrate_every_polynomial_through_the_nodes(h, ahead):
    nodes = [h, 0.0, -0.7 * h, -1.1 * h][0 if ahead else 1 :]
    with jax.enable_x64(True):
        found = np.asarray(exact_weights(one_step(h, nodes)))[0]
    for power in range(len(nodes)):
        expected, _ = quad(lambda u, p=power: h * np.exp(-h * (1 - u)) * u**p, 0, 1, epsabs=0)
        np.testing.assert_allclose(found @ (np.asarray(nodes) / h) ** power, expected, rtol=1e-11)


@pytest.mark.parametrize("k", [1, 2])
def test_what_is_not_known_has_no_weight_and_the_rest_is_the_lower_method(k):
    nodes = [0.0, -0.4, -0.9]
    with jax.enable_x64(True):
        found = np.asarray(exact_weights(one_step(0.5, nodes, [i < k for i in range(3)])))[0]
        lower = np.asarray(exact_weights(one_step(0.5, nodes[:k])))[0]
    np.testing.assert_allclose(found[:k], lower, rtol=1e-12)
    np.testing.assert_array_equal(found[k:], 0)


def test_middle_weights_take_a_line_at_its_middle():
    total = np.asarray([0.3])
    with jax.enable_x64(True):
        both = np.asarray(middle_weights(one_step(0.5, [0.0, -0.4]), total))[0]
        alone = np.asarray(middle_weights(one_step(0.5, [0.0, -0.4], [True, False]), total))[0]
    np.testing.assert_allclose([both.sum(), both @ [0.0, -0.4]], [0.3, 0.3 * 0.25], rtol=1e-12)
    np.testing.assert_allclose(alone, [0.3, 0.0], rtol=1e-12)


@pytest.mark.parametrize("h", [1e-4, 1e-2, 1.0])
def test_float32_loses_nothing_to_small_steps(h):
    nodes = [0.0, -h, -2 * h]
    with jax.enable_x64(True):
        expected = np.asarray(exact_weights(one_step(h, nodes)))[0]
    found = np.asarray(exact_weights(one_step(h, nodes, dtype=np.float32)))[0]
    assert found.dtype == np.float32
    # A few roundings; phi functions in closed form would be off by 1e-7 / h^2.
    np.testing.assert_allclose(found, expected, rtol=2e-6)


def test_steps_know_their_past_and_only_that():
    times = np.asarray([0.9, 0.8, 0.6, 0.5, 0.3, 0.2])

    @fast
    def all_steps(sde, times):
        history = ((times[1], None), (times[0], None))
        return (
            half_log_snr(sde, times),
            explicit_steps(sde, times[2:], (), 3),
            explicit_steps(sde, times[2:], history, 3),
            implicit_steps(sde, times[2:], history[:1], 3),
        )

    with jax.enable_x64(True):
        at, cold, given, ahead = all_steps(VPSDE(), jnp.asarray(times))
        at = np.asarray(at)
    np.testing.assert_array_equal(cold.known, np.tri(3, dtype=bool))
    np.testing.assert_allclose(cold.start, at[2:5])
    np.testing.assert_allclose(cold.end, at[3:6])
    np.testing.assert_allclose(cold.nodes[2], at[[4, 3, 2]])
    assert np.all(given.known) and np.all(ahead.known)
    np.testing.assert_allclose(given.nodes, at[[[2, 1, 0], [3, 2, 1], [4, 3, 2]]])
    np.testing.assert_allclose(ahead.nodes, at[[[3, 2, 1], [4, 3, 2], [5, 4, 3]]])
