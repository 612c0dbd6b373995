"""Four simulated devices compute what one does."""

import os
import subprocess
import sys

import commands
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from random_parameters import quickly, random_parameters

from scoresde_jax import build, sharding, training

STEPS = 3


@pytest.fixture(scope="module")
def runs():
    """Three plain-SGD steps from one start, by number of devices: [(state, metrics), ...]."""
    config = commands.tiny_config("subvp")
    experiment = build.experiment(config)
    images = build.dataset(config, "train").images
    key = jax.random.key(0)
    # The last convolution starts at zero, which would hide everything before it.
    inputs = jnp.zeros((1, *experiment.image_shape)), jnp.ones(1)
    params = random_parameters(experiment.network, *inputs, scale=0.1)
    params = jax.tree.map(lambda leaf: leaf.astype(np.float32), params)
    # trace(0) leaves a gradient as it is and keeps it in its state, for the test to see.
    tx = optax.chain(optax.trace(decay=0.0), optax.sgd(0.05))

    def step(state, key, batch):
        return training.train_step(
            state, key, batch, loss_fn=experiment.train_loss, tx=tx, ema_decay=0.9
        )

    found = {}
    for count in (1, 4):
        mesh = sharding.device_mesh(jax.devices()[:count])
        everywhere, split = sharding.replicated(mesh), sharding.batch_sharded(mesh)
        jitted = quickly(step, out_shardings=everywhere)
        state = jax.device_put(training.create(params, tx), everywhere)
        run_key = jax.device_put(key, everywhere)
        found[count] = []
        for k in range(STEPS):
            batch = jax.device_put(images[16 * k : 16 * (k + 1)], split)
            assert len(batch.sharding.device_set) == count
            state, metrics = jitted(state, run_key, batch)
            found[count].append(jax.device_get((state, metrics)))
    return found


def assert_close(one, four):
    """To 1e-5 of the largest entry: sums over the batch are added in another order."""
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(four), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-5 * np.max(np.abs(a)))


def flat(tree):
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)])


def test_loss_and_gradients_of_four_devices_equal_those_of_one(runs):
    (one, metrics_of_one), (four, metrics_of_four) = runs[1][0], runs[4][0]
    assert_close(metrics_of_one, metrics_of_four)
    gradient = flat(one.opt_state[0].trace)
    assert np.max(np.abs(gradient)) > 1e-3  # there is something to compare
    assert_close(gradient, flat(four.opt_state[0].trace))


def test_parameters_after_three_steps_equal(runs):
    one, four = runs[1][-1][0], runs[4][-1][0]
    assert one.step == four.step == STEPS
    moved = flat(one.params) - flat(runs[1][0][0].params)
    assert np.max(np.abs(moved)) > 1e-3
    assert_close(flat(one.params), flat(four.params))
    assert_close(flat(one.ema_params), flat(four.ema_params))


def test_shardings_place_what_they_say():
    mesh = sharding.device_mesh()
    x = jnp.zeros((2, 8, 3))
    assert len(jax.devices()) == mesh.size == 4
    assert sharding.replicated(mesh).shard_shape(x.shape) == (2, 8, 3)
    assert sharding.batch_sharded(mesh, axis=1).shard_shape(x.shape) == (2, 2, 3)
    assert [sharding.round_up(n, mesh) for n in (1, 4, 5)] == [4, 4, 8]


@pytest.mark.parametrize("batch_size", [6, 0, -4, 3])
def test_batch_that_devices_do_not_divide(batch_size):
    mesh = sharding.device_mesh()
    with pytest.raises(ValueError) as error:
        sharding.check_divisible("config.training.batch_size", batch_size, mesh)
    message = str(error.value)
    assert f"config.training.batch_size is {batch_size}" in message
    assert "4 devices" in message and "multiple of 4" in message


def test_batch_that_devices_divide():
    sharding.check_divisible("config.training.batch_size", 8, sharding.device_mesh())


SPLIT = """
import os
{cores}
import jax
from scoresde_jax import sharding
sharding.split_cpu({count})
print(jax.device_count())
"""


AFFINITY = "os.sched_getaffinity = lambda process: range({})"
NOT_LINUX = "del os.sched_getaffinity; os.cpu_count = lambda: 2"


@pytest.mark.parametrize(
    ("cores", "count", "flags", "devices"),
    [
        (AFFINITY.format(1), None, "", 1),
        (AFFINITY.format(3), None, "", 2),
        (AFFINITY.format(64), None, "", sharding.MOST_CPU_DEVICES),
        (NOT_LINUX, None, "", 2),
        (AFFINITY.format(1), 3, "", 3),
        (AFFINITY.format(2), None, f"{commands.DEVICES}=5", 5),  # the user has chosen already
    ],
)
def test_cores_become_devices(cores, count, flags, devices):
    # In a process of its own: jax counts its devices once.
    done = subprocess.run(
        [sys.executable, "-c", SPLIT.format(cores=cores, count=count)],
        env=os.environ | {"XLA_FLAGS": flags},
        cwd=commands.ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(done.stdout) == devices


# Two processes of one device each: rows of their own, put together, are what one process has.
JOINED = """
import sys
import jax
import numpy as np
from scoresde_jax import sharding
from scoresde_jax.data import batch_at, load

sharding.join_processes()
index = int(sys.argv[1])
assert (jax.process_index(), jax.process_count()) == (index, 2)
digits, mesh = load("digits", "train"), sharding.device_mesh()
share = {"process_index": jax.process_index(), "process_count": jax.process_count()}
own = batch_at(digits, 3, batch_size=8, seed=1, **share)
whole = batch_at(digits, 3, batch_size=8, seed=1)
assert len(own["image"]) == 4 and len(whole["image"]) == 8
joined = sharding.of_all_processes({"image": own["image"][None]}, mesh, axis=1)["image"]
assert joined.shape == (1, 8, 8, 8, 1) and len(joined.addressable_shards) == 1
np.testing.assert_array_equal(sharding.fetched(joined)[0], whole["image"])
# Sums over the batch are sums over both.
weight, key = sharding.copied((np.float32(2.0), jax.random.key(5)), mesh)
total = jax.jit(lambda w, k, x: w * x.sum() + jax.random.uniform(k))(weight, key, joined)
wanted = 2.0 * whole["image"].sum() + jax.random.uniform(jax.random.key(5))
np.testing.assert_allclose(float(total), float(wanted), rtol=1e-6)
assert sharding.agreed(index * 15) == 15
sharding.check_agreed(3, "x")
try:
    sharding.check_agreed(index * 15 - 1, "the checkpoints of x")
except ValueError as error:
    print(error)
try:
    sharding.check_one_process()
except ValueError as error:
    print(error)
"""


def test_two_processes_share_a_batch():
    one_device = {"XLA_FLAGS": f"{commands.DEVICES}=1", "JAX_PLATFORMS": "cpu"}
    with commands.cluster() as variables:
        both = [
            subprocess.Popen(
                [sys.executable, "-c", JOINED, str(index)],
                env=os.environ | one_device | own,
                cwd=commands.ROOT,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for index, own in enumerate(variables)
        ]
        try:
            said = [process.communicate(timeout=400) for process in both]
        finally:
            for process in both:
                process.kill()
    for index, (process, (out, err)) in enumerate(zip(both, said, strict=True)):
        assert process.returncode == 0, err
        assert "processes differ on the checkpoints of x: -1 and 14. All must see one disk" in out
        assert f"this is process {index} of 2, and only --mode train takes several" in out


def test_one_process_agrees_with_itself():
    assert sharding.agreed(15) == 15
    sharding.check_one_process()
    mesh = sharding.device_mesh()
    x = np.arange(8.0)
    assert sharding.of_all_processes(x, mesh).sharding == sharding.batch_sharded(mesh)
    np.testing.assert_array_equal(sharding.fetched(sharding.copied(x, mesh)), x)
