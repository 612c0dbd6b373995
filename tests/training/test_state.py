"""A state that is put together from parts continues as the one they came from."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from scoresde_jax import training

TX = training.adam(training.learning_rate(0.1, warmup_steps=10), weight_decay=0.01)


def trained(steps):
    state = training.create({"a": {"w": jnp.linspace(-1, 1, 6)}, "b": jnp.ones(())}, TX)
    return advance(state, steps)


def advance(state, steps):
    for _ in range(steps):
        state, _ = training.train_step(
            state,
            jax.random.key(0),
            jnp.ones((2, 6)),
            loss_fn=lambda p, key, x: (x @ p["a"]["w"] + p["b"] + jax.random.normal(key)) ** 2,
            tx=TX,
            ema_decay=0.9,
        )
    return state


def assert_same(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert x.dtype == y.dtype
        np.testing.assert_array_equal(x, y)


def test_parts_make_the_whole_again():
    state = trained(3)
    count, mu, nu = training.adam_moments(state)
    assert count == 3 and mu["a"]["w"].any() and nu["b"] > 0
    again = training.resumed(
        TX,
        step=3,
        params=state.params,
        ema_params=state.ema_params,
        count=count,
        mu=mu,
        nu=nu,
    )
    assert_same(again, state)
    assert_same(advance(again, 2), trained(5))


def test_fresh_moments_at_a_late_step():
    """Adam's bias correction starts anew; the schedule does not."""
    params = trained(0).params
    zeros = optax.tree.zeros_like(params)
    state = training.resumed(
        TX, step=7, params=params, ema_params=params, count=0, mu=zeros, nu=zeros
    )
    assert int(state.step) == 7
    counts = dict(optax.tree.get_all_with_path(state.opt_state, "count"))
    assert {path[-1].tuple_name: int(count) for path, count in counts.items()} == {
        "ScaleByAdamState": 0,
        "ScaleByScheduleState": 7,
    }
