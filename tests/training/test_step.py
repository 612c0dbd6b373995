"""The training step on a model small enough to do by hand."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from scoresde_jax import training

DECAY = 0.9
TX = optax.adam(0.1)
BATCHES = np.linspace(-1, 1, 3 * 4 * 2, dtype=np.float32).reshape(3, 4, 2)  # (n, B, D)


def noisy_loss(params, key, batch):
    """|w (x + noise)|^2 per example: noise shows which key was used."""
    x = batch + 0.3 * jax.random.normal(key, batch.shape)
    return jnp.sum((x * params["w"] + params["b"]) ** 2, axis=-1)


OPTIONS = {"loss_fn": noisy_loss, "tx": TX, "ema_decay": DECAY}


def start(tx=TX):
    # Typed as parameters of a network are: Python numbers would be weakly typed, and retraced.
    params = {"w": np.array([1.0, -2.0], np.float32), "b": np.array(0.5, np.float32)}
    return training.create(jax.tree.map(jnp.asarray, params), tx)


def assert_trees_close(a, b, **tolerance):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, **tolerance), a, b)


def test_step_is_the_optimisers_and_counts():
    key, batch = jax.random.key(0), BATCHES[0]
    tx = optax.sgd(0.1)
    state, metrics = training.train_step(start(tx), key, batch, **{**OPTIONS, "tx": tx})

    def mean_loss(params):
        return jnp.mean(noisy_loss(params, jax.random.fold_in(key, 0), batch))

    loss, grads = jax.value_and_grad(mean_loss)(start().params)
    assert int(state.step) == 1
    np.testing.assert_allclose(metrics["loss"], loss, rtol=1e-6)
    norm = np.sqrt(sum(np.sum(np.square(g)) for g in jax.tree.leaves(grads)))
    np.testing.assert_allclose(metrics["grad_norm"], norm, rtol=1e-6)
    wanted = jax.tree.map(lambda p, g: p - 0.1 * g, start().params, grads)
    assert_trees_close(state.params, wanted, rtol=1e-6)


def test_moving_average():
    first = start()
    state, _ = training.train_step(first, jax.random.key(0), BATCHES[0], **OPTIONS)
    wanted = jax.tree.map(lambda e, p: DECAY * e + (1 - DECAY) * p, first.ema_params, state.params)
    assert_trees_close(state.ema_params, wanted, rtol=1e-6)
    moved = jax.tree.map(lambda p, e: float(jnp.max(jnp.abs(p - e))), state.params, wanted)
    assert min(jax.tree.leaves(moved)) > 1e-3  # the average lags


def test_average_starts_at_the_parameters_in_buffers_of_its_own():
    state = start()
    assert_trees_close(state.params, state.ema_params, rtol=0)
    assert state.params["w"] is not state.ema_params["w"]


def test_randomness_is_that_of_the_step():
    key = jax.random.key(0)
    loss = {}
    for step in (0, 1):
        state = start().replace(step=jnp.int32(step))
        again = [training.train_step(state, key, BATCHES[0], **OPTIONS)[1] for _ in range(2)]
        assert again[0]["loss"] == again[1]["loss"]
        loss[step] = float(again[0]["loss"])
    assert abs(loss[0] - loss[1]) > 1e-3


@pytest.mark.parametrize("count", [1, 2, 3])
def test_one_call_equals_many(count):
    """To rounding: the loop compiles to other fusions than the single step."""
    key = jax.random.key(3)
    steps = jax.jit(partial(training.train_steps, **OPTIONS))
    together, metrics = steps(start(), key, BATCHES, jnp.int32(count))
    single = start()
    for k in range(count):
        single, metrics_of_last = steps(single, key, BATCHES[k : k + 1], jnp.int32(1))
    assert int(together.step) == count
    assert_trees_close(together, single, rtol=1e-5, atol=1e-7)
    assert_trees_close(metrics, metrics_of_last, rtol=1e-5)


@pytest.mark.parametrize("size", [1, 3])
def test_one_compilation_serves_every_length(size):
    traces = []

    def counted(params, key, batch):
        traces.append(batch.shape)
        return noisy_loss(params, key, batch)

    steps = jax.jit(
        partial(training.train_steps, **{**OPTIONS, "loss_fn": counted}), donate_argnums=0
    )
    device = jax.devices()[0]
    state, key = jax.device_put((start(), jax.random.key(0)), device)
    state, _ = steps(state, key, *jax.device_put((BATCHES[:size], np.int32(1)), device))
    traced = len(traces)
    inputs = [
        jax.device_put((BATCHES[:size] + shift, np.int32(count)), device)
        for shift in (0.0, 0.5)
        for count in range(1, size + 1)
    ]
    with jax.transfer_guard("disallow"):  # nothing waits for the host
        for chunk, count in inputs:
            state, _ = steps(state, key, chunk, count)
    assert len(traces) == traced
    assert steps._cache_size() == 1


def plain_loss(params, key, batch):
    """Without noise: the same whichever part of a batch an example is in."""
    del key
    return jnp.sum((batch * params["w"] + params["b"]) ** 2, axis=-1)


@pytest.mark.parametrize("microbatches", [2, 4])
def test_parts_of_a_batch_add_up_to_its_gradient(microbatches):
    options = {**OPTIONS, "loss_fn": plain_loss}
    step = partial(training.train_step, start(), jax.random.key(0), BATCHES[0], **options)
    whole, parts = step(), step(microbatches=microbatches)
    assert_trees_close(parts, whole, rtol=1e-6)


def test_every_part_has_examples_and_a_key_of_its_own():
    seen = []

    def loss_fn(params, key, batch):
        jax.debug.callback(lambda k, b: seen.append((k.tolist(), b.tolist())), key_of(key), batch)
        return jnp.sum(params["w"] * batch, axis=-1)

    def key_of(key):
        return jax.random.key_data(key)

    batch = np.arange(12, dtype=np.float32).reshape(6, 2)
    options = {**OPTIONS, "loss_fn": loss_fn}
    training.train_step(start(), jax.random.key(0), batch, **options, microbatches=3)
    jax.effects_barrier()
    assert len({str(key) for key, _ in seen}) == len(seen) == 3
    examples = sorted(row for _, part in seen for row in part)
    assert examples == batch.tolist()
