"""What a run says and when; a loss that is not finite ends it."""

import errno
import math
import types

import commands
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from scoresde_jax import build, files, reports, sharding, training
from scoresde_jax.progress import Progress

STEPS = 7


@pytest.fixture
def run(tmp_path):
    """Reports of a run of STEPS steps with a toy for a model."""
    config = commands.tiny_config(
        "subvp",
        training__steps=STEPS,
        training__log_every=3,
        training__eval_every=2,
        training__snapshot_every=5,
        training__snapshot_images=3,
    )
    task = types.SimpleNamespace(
        section=config.training,
        fixed={"shift": jnp.float32(0.5)},
        columns=lambda batch: batch["image"],
        eval_loss=lambda fixed, params, keys, images: jnp.full(
            len(images), params["w"] + fixed["shift"]
        ),
        learning_rate=lambda step: 0.1 * step,
        learning_rate_key="config.optimizer.learning_rate",
    )
    experiment = types.SimpleNamespace(
        sampler=lambda key, score_fn, shape: types.SimpleNamespace(
            x=jax.random.normal(key, shape),
            nfe=jnp.ones(shape[0]),
            converged=jnp.ones(shape[0], bool),
        ),
        score_fn=lambda params: None,
        to_pixels=lambda x: jnp.clip(255 * x, 0, 255).astype(jnp.uint8),
        image_shape=(8, 8, 1),
    )
    records = training.Records(tmp_path, start=0)
    progress = Progress("train", STEPS)
    mesh = sharding.device_mesh()
    test_set = build.dataset(config, "test")
    snapshot = reports.sample_snapshot(experiment, config, mesh, tmp_path)
    yield reports.Reports(task, mesh, records, progress, test_set, snapshot)
    records.close()
    progress.close()


def say(run, step, loss=1.0):
    weight = {"w": jnp.float32(step)}
    state = types.SimpleNamespace(ema_params=weight)
    run.report(step, state, {"loss": jnp.float32(loss), "grad_norm": jnp.float32(2.0)})
    run.snapshot(step, state)


def test_each_thing_is_said_when_it_is_due(run, tmp_path):
    for step in range(1, STEPS + 1):
        say(run, step, loss=step)
    rows = {row["step"]: row for row in training.read_records(tmp_path)}
    assert sorted(rows) == [2, 3, 4, 6, 7]
    assert [s for s in rows if "loss" in rows[s]] == [3, 6, 7]  # and always the last
    assert [s for s in rows if "eval_loss" in rows[s]] == [2, 4, 6, 7]
    assert rows[6]["loss"] == 6 and rows[6]["grad_norm"] == 2
    assert rows[6]["eval_loss"] == 6.5  # of the averaged parameters of that step
    # The rate that made the step from 5 to 6.
    np.testing.assert_allclose(rows[6]["learning_rate"], 0.5)
    pictures = sorted(p.name for p in (tmp_path / "samples").iterdir())
    assert pictures == ["snapshot_5.png", "snapshot_7.png"]
    with Image.open(tmp_path / "samples" / "snapshot_5.png") as image:
        image.verify()


def test_speed_is_images_per_second_since_the_last_line(run, tmp_path, monkeypatch):
    now = [run._clock]
    monkeypatch.setattr(reports.time, "monotonic", lambda: now[0])
    for step, seconds in ((3, 2.0), (6, 4.0)):
        now[0] += seconds
        say(run, step)
    rows = [row for row in training.read_records(tmp_path) if "loss" in row]
    # 3 steps of 8 images
    np.testing.assert_allclose([row["images_per_second"] for row in rows], [12.0, 6.0])


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_ends_the_run(run, tmp_path, bad):
    with pytest.raises(reports.RunError) as error:
        say(run, 3, loss=bad)
    assert "step 3" in str(error.value) and "learning_rate" in str(error.value)
    assert training.read_records(tmp_path) == []


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "a/b.npz"), "disk is full.*a/b.npz"),
        (files.NoRoom("the disk of x is full; 8 are whole."), "^the disk of x is full; 8"),
    ],
)
def test_a_full_disk_is_a_message(error, message):
    with pytest.raises(reports.RunError, match=message), reports.disk_errors():
        raise error


@pytest.mark.parametrize("error", [PermissionError(errno.EACCES, "no"), OSError("what is it?")])
def test_other_errors_of_files_are_not_the_disk(error):
    with pytest.raises(type(error)) as caught, reports.disk_errors():
        raise error
    assert caught.value is error


def test_evaluation_uses_the_same_images_and_keys_every_time():
    config = commands.tiny_config("subvp")
    test_set = build.dataset(config, "test")
    images, keys = reports._fixed_batch(config.training, test_set)
    again, keys_again = reports._fixed_batch(config.training, test_set)
    np.testing.assert_array_equal(images, test_set.images[: config.training.batch_size])
    np.testing.assert_array_equal(images, again)
    assert len(np.unique(jax.random.key_data(keys), axis=0)) == len(images)
    assert (jax.random.key_data(keys) == jax.random.key_data(keys_again)).all()


def test_a_run_of_a_few_steps_draws_nothing_at_its_end(run, tmp_path):
    run._section.steps = 3
    for step in range(1, 4):
        say(run, step)
    assert not (tmp_path / "samples").exists()
