"""The compiled programs of a run, on a network that compiles in no time."""

import types

import commands
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_network import SmallNetwork

from scoresde_jax import build, programs, sharding, tasks, training


@pytest.fixture(scope="module")
def config():
    return commands.tiny_config(
        "subvp", likelihood__rtol=1e-5, likelihood__atol=1e-5, likelihood__probes=2
    )


@pytest.fixture(scope="module")
def experiment(config):
    return build.experiment(config)._replace(network=SmallNetwork())


@pytest.fixture(scope="module")
def params(experiment):
    return experiment.init_params(jax.random.key(0))


def mesh(count):
    return sharding.device_mesh(jax.devices()[:count])


# ------------------------------------------------------------------------------------- sampling


def test_samples_are_pixels_of_the_seventeen_levels(experiment, params):
    draw = programs.sampling_program(experiment, 8, mesh(4))
    pixels, nfe, converged = jax.device_get(draw(params, jax.random.key(0)))
    assert pixels.shape == (8, 8, 8, 1) and pixels.dtype == np.uint8
    assert np.isin(pixels, np.round(np.arange(17) * 255 / 16)).all()
    assert nfe.tolist() == [2] * 8 and converged.all()
    again = jax.device_get(draw(params, jax.random.key(0)))[0]
    other = jax.device_get(draw(params, jax.random.key(1)))[0]
    np.testing.assert_array_equal(pixels, again)
    assert (pixels != other).any()


def test_an_image_that_is_not_finite_is_black_and_says_so(experiment, params):
    def sampler(key, score_fn, shape):
        drawn = experiment.sampler(key, score_fn, shape)
        return drawn._replace(x=drawn.x.at[1, 0, 0].set(jnp.nan))

    draw = programs.sampling_program(experiment._replace(sampler=sampler), 4, mesh(1))
    pixels, _, converged = jax.device_get(draw(params, jax.random.key(0)))
    assert converged.tolist() == [True, False, True, True]
    assert (pixels[1] == 0).all() and (pixels[0] > 0).any()


# ------------------------------------------------------------------------------------- training


def test_training_of_a_real_network_compiles_once(config):
    """Compilations as XLA counts them: one more placement of an input would be one more."""
    config = config.copy_and_resolve_references()
    config.model.update({"channel_multipliers": (1,), "attention_resolutions": ()})
    tiny = build.experiment(config)
    where = mesh(4)
    task = tasks.score_task(tiny, config)
    fresh = jax.jit(
        lambda key: training.create(task.init_params(key), task.optimizer),
        out_shardings=sharding.replicated(where),
    )
    state = fresh(jax.random.key(0))
    advance = programs.training_program(task, where)
    images = build.dataset(config, "train").images[:8][None]
    state, _ = advance(state, images, 1)
    compilations = []

    def count(event, duration, **_):
        if event == "/jax/core/compile/backend_compile_duration":
            compilations.append(duration)

    jax.monitoring.register_event_duration_secs_listener(count)
    try:
        with jax.transfer_guard("disallow"):  # `advance` asks for the copies that it needs
            for i in range(3):
                state, metrics = advance(state, images + np.uint8(i), 1)
        # As after restoring a checkpoint.
        state = jax.device_put(jax.device_get(state), sharding.replicated(where))
        state, metrics = advance(state, images, 1)
        assert not compilations
        jax.jit(lambda x: x + 1)(state.step)
        assert compilations  # the count counts
    finally:
        jax.monitoring.unregister_event_duration_listener(count)
    assert int(state.step) == 5 and np.isfinite(metrics["loss"])


@pytest.mark.parametrize("size", [1, 3])
def test_training_compiles_once_and_copies_nothing_by_itself(size):
    traces = []

    def train_loss(fixed, params, key, images):
        traces.append(key)
        return jnp.mean((images / fixed - params["w"]) ** 2, axis=(1, 2, 3))

    config = commands.tiny_config("subvp")
    _, optimizer = build.optimizer(config, "optimizer", "training")
    toy = types.SimpleNamespace(
        train_loss=train_loss,
        optimizer=optimizer,
        section=config.training,
        fixed=np.float32(16),
    )
    where = sharding.device_mesh()
    state = training.create({"w": jnp.zeros((8, 8, 1))}, optimizer)
    state = jax.device_put(state, sharding.replicated(where))
    advance = programs.training_program(toy, where)
    chunk = np.zeros((size, 8, 8, 8, 1), np.uint8)
    state, metrics = advance(state, chunk, 1)
    traced = len(traces)
    for count in [*range(1, size + 1), 1]:
        state, metrics = advance(state, chunk + count, count)
    assert len(traces) == traced
    assert int(state.step) == 1 + sum([*range(1, size + 1), 1])
    assert metrics["loss"].sharding.is_fully_replicated
