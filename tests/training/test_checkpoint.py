"""What is saved comes back bit for bit; what a crash cut off does not come back."""

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest

from scoresde_jax import files, sharding, training

CONFIG = {"model": {"name": "toy", "widths": [1, 2]}, "training": {"n_jitted_steps": None}}
TX = training.adam(lambda step: 0.1)


def mesh(count=1):
    return sharding.device_mesh(jax.devices()[:count])


def trained(steps, count=1):
    """A state after some steps; every leaf has values that no other has."""
    state = training.create({"w": jnp.linspace(-1, 1, 12).reshape(4, 3), "b": jnp.ones(())}, TX)
    for k in range(steps):
        state, _ = training.train_step(
            state,
            jax.random.key(0),
            jnp.full((2, 3), 0.1 * (k + 1)),
            loss_fn=lambda p, key, x: jnp.sum((x @ p["w"].T + p["b"]) ** 2, axis=-1),
            tx=TX,
            ema_decay=0.9,
        )
    return jax.device_put(state, sharding.replicated(mesh(count)))


def save(folder, *steps):
    """Checkpoints at the given steps, finished."""
    checkpoints = training.Checkpoints(folder)
    for step in steps:
        checkpoints.save(trained(step), config=CONFIG, data={"next_index": step})
    checkpoints.close()


def shapes():
    return jax.eval_shape(lambda: trained(0))


def assert_same(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert x.dtype == y.dtype
        np.testing.assert_array_equal(x, y)


@pytest.fixture
def reopened():
    """Opens folders of checkpoints as a new process would, and closes them."""
    opened = []

    def open_folder(folder, **options):
        opened.append(training.Checkpoints(folder, **options))
        return opened[-1]

    yield open_folder
    for checkpoints in opened:
        checkpoints.close()


def test_nothing_is_made_before_the_first_save(tmp_path, reopened):
    checkpoints = reopened(tmp_path / "checkpoints")
    assert checkpoints.latest_step() is None
    assert not (tmp_path / "checkpoints").exists()


def test_reading_leaves_alone_what_another_run_is_saving(tmp_path, reopened):
    save(tmp_path, 2)
    unfinished = tmp_path / "3.orbax-checkpoint-tmp"
    unfinished.mkdir()
    checkpoints = reopened(tmp_path)
    assert checkpoints.latest_step() == 2
    checkpoints.restore(2, shapes(), sharding.replicated(mesh()))
    assert unfinished.is_dir()


def test_round_trip_is_exact(tmp_path, reopened):
    save(tmp_path, 2, 3)
    checkpoints = reopened(tmp_path)
    assert checkpoints.latest_step() == 3
    assert checkpoints.meta(3) == {"config": CONFIG, "data": {"next_index": 3}}
    for step in (2, 3):
        restored = checkpoints.restore(step, shapes(), sharding.replicated(mesh()))
        assert_same(restored, trained(step))
    moments = jax.tree.leaves(restored.opt_state)
    assert all(np.any(np.asarray(leaf) != 0) for leaf in moments)  # the test saw real moments


@pytest.mark.parametrize(("saved_on", "count"), [(4, 1), (1, 4)])
def test_restores_onto_another_number_of_devices(tmp_path, reopened, saved_on, count):
    checkpoints = reopened(tmp_path)
    checkpoints.save(trained(2, saved_on), config=CONFIG, data={})
    checkpoints.close()
    restored = reopened(tmp_path).restore(2, shapes(), sharding.replicated(mesh(count)))
    assert_same(restored, trained(2))
    for leaf in jax.tree.leaves(restored):
        assert leaf.sharding.device_set == set(jax.devices()[:count])


def test_only_the_newest_are_kept(tmp_path, reopened):
    checkpoints = reopened(tmp_path, keep=2)
    for step in range(4):
        checkpoints.save(trained(step), config=CONFIG, data={})
    checkpoints.close()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["2", "3"]


def test_saving_a_saved_step_changes_nothing(tmp_path, reopened):
    save(tmp_path, 1)
    checkpoints = reopened(tmp_path)
    checkpoints.save(trained(1), config=CONFIG, data={"next_index": 99})
    assert checkpoints.meta(1)["data"] == {"next_index": 1}


def test_what_a_crash_cut_off_is_never_restored(tmp_path, reopened):
    """Orbax writes under N.orbax-checkpoint-tmp and renames when all is on disk."""
    save(tmp_path, 1, 2)
    torn = tmp_path / "2.orbax-checkpoint-tmp"
    (tmp_path / "2").rename(torn)
    for path in [*torn.rglob("d/*")][::2]:  # half of the arrays are missing
        path.unlink()
    checkpoints = reopened(tmp_path)
    assert checkpoints.latest_step() == 1
    assert_same(checkpoints.restore(1, shapes(), sharding.replicated(mesh())), trained(1))
    # The run goes on and saves the same step again, whole.
    checkpoints.save(trained(2), config=CONFIG, data={})
    checkpoints.close()
    again = reopened(tmp_path)
    assert again.latest_step() == 2
    assert_same(again.restore(2, shapes(), sharding.replicated(mesh())), trained(2))


def test_a_full_disk_is_said(tmp_path, monkeypatch):
    """Where the next save, or the end, finds that the last one failed."""
    text = "RESOURCE_EXHAUSTED: Error writing x: No space left on device [os_error_code='28']"
    checkpoints = training.Checkpoints(tmp_path / "c")
    checkpoints.save(trained(1), config=CONFIG, data={})
    checkpoints.wait()
    for name, act in {
        "save": lambda: checkpoints.save(trained(2), config=CONFIG, data={}),
        "wait_until_finished": checkpoints.wait,
    }.items():
        for message, kind, said in (
            (text, files.NoRoom, "this checkpoint is lost, and those before it are whole"),
            ("another thing", ValueError, "another thing"),
        ):

            def fail(*arguments, message=message, **options):
                raise ValueError(message)

            with monkeypatch.context() as patch:
                patch.setattr(ocp.CheckpointManager, name, fail)
                with pytest.raises(kind, match=said):
                    act()
    assert checkpoints.latest_step() == 1
    checkpoints.close()
