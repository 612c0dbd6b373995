"""Learning rates and Adam as the 2021 models were trained."""

import math

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from scoresde_jax import training


def apply(tx, gradients, params):
    """Parameters and state after a list of gradients."""
    state = tx.init(params)
    for gradient in gradients:
        updates, state = tx.update(gradient, state, params)
        params = optax.apply_updates(params, updates)
    return params, state


def moments(state):
    return optax.tree.get(state, "mu"), optax.tree.get(state, "nu")


def test_warm_up_is_linear_and_starts_at_zero():
    rate = training.learning_rate(2e-4, warmup_steps=4)
    found = [float(rate(step)) for step in (0, 1, 2, 4, 5, 1000)]
    np.testing.assert_allclose(found, [0, 5e-5, 1e-4, 2e-4, 2e-4, 2e-4], rtol=1e-6)


def test_no_warm_up():
    assert float(training.learning_rate(0.5, warmup_steps=0)(0)) == 0.5


def test_cosine_falls_from_the_peak_to_zero_and_stays():
    rate = training.learning_rate(1.0, warmup_steps=10, decay_steps=110)
    found = [float(rate(step)) for step in (0, 5, 10, 35, 60, 110, 200)]
    quarter = 0.5 * (1 + math.cos(math.pi / 4))
    # The cosine is taken in float32: zero to 1e-7 of the peak.
    np.testing.assert_allclose(found, [0, 0.5, 1, quarter, 0.5, 0, 0], rtol=1e-6, atol=1e-7)


def test_decay_shorter_than_the_warm_up_ends_at_zero():
    rate = training.learning_rate(1.0, warmup_steps=10, decay_steps=5)
    assert np.isfinite([float(rate(s)) for s in range(20)]).all()
    assert float(rate(20)) == 0


def test_first_update_with_warm_up_moves_nothing_but_moments():
    tx = training.adam(training.learning_rate(0.1, warmup_steps=5))
    start = {"w": jnp.array([1.0, 2.0])}
    params, state = apply(tx, [{"w": jnp.array([0.3, -0.2])}], start)
    np.testing.assert_array_equal(params["w"], start["w"])
    assert np.all(np.abs(moments(state)[0]["w"]) > 0)


@pytest.mark.parametrize("scale", [0.1, 1000.0])
def test_gradients_are_clipped_to_the_norm(scale):
    tx = training.adam(lambda step: 0.1, b1=0.9, b2=0.99, clip_norm=1.0)
    gradient = {"a": jnp.array([3.0]) * scale, "b": jnp.array([4.0]) * scale}  # norm 5 scale
    norm = min(5 * scale, 1.0)
    mu, nu = moments(apply(tx, [gradient], {"a": jnp.zeros(1), "b": jnp.zeros(1)})[1])
    # m = (1 - b1) g and v = (1 - b2) g^2 after one step, with g the clipped gradient.
    np.testing.assert_allclose([mu["a"][0], mu["b"][0]], 0.1 * norm * np.array([0.6, 0.8]), 1e-5)
    np.testing.assert_allclose(
        [nu["a"][0], nu["b"][0]], 0.01 * norm**2 * np.array([0.36, 0.64]), rtol=1e-5
    )


def test_adam_by_hand():
    rate, b1, b2, eps = 0.1, 0.8, 0.95, 1e-3
    gradients = [0.5, -0.2, 0.7]
    tx = training.adam(lambda step: rate, b1=b1, b2=b2, adam_eps=eps, clip_norm=-1.0)
    params, _ = apply(tx, [jnp.array(g) for g in gradients], jnp.array(1.0))
    wanted, m, v = 1.0, 0.0, 0.0
    for k, g in enumerate(gradients, 1):
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g**2
        wanted -= rate * (m / (1 - b1**k)) / (math.sqrt(v / (1 - b2**k)) + eps)
    np.testing.assert_allclose(params, wanted, rtol=1e-5)


def test_weight_decay_is_decoupled_and_times_the_rate():
    start, gradient = jnp.array([2.0]), [jnp.array([0.3])]
    plain, _ = apply(training.adam(lambda step: 0.1), gradient, start)
    decayed, _ = apply(training.adam(lambda step: 0.1, weight_decay=0.5), gradient, start)
    np.testing.assert_allclose(plain - decayed, 0.1 * 0.5 * start, rtol=1e-5)
