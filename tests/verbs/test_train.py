"""Training as a command: files, and runs that were killed equal to one never stopped."""

import json
import math
import signal

import commands
import jax
import numpy as np
import pytest
from PIL import Image
from verb_runs import CHUNKS, STEPS, arguments, names, succeed

from scoresde_jax import build, files, sharding, training
from scoresde_jax.verbs.train import chunk_end


def final_state(workdir, size):
    config = commands.tiny_config("subvp", **CHUNKS[size])
    experiment = build.experiment(config)
    _, optimizer = build.optimizer(config, "optimizer", "training")

    def fresh(key):
        return training.create(experiment.init_params(key), optimizer)

    checkpoints = training.Checkpoints(workdir / "checkpoints")
    mesh = sharding.device_mesh(jax.devices()[:1])
    assert checkpoints.latest_step() == STEPS
    shapes = jax.eval_shape(fresh, jax.random.key(0))
    state = checkpoints.restore(STEPS, shapes, sharding.replicated(mesh))
    position = checkpoints.meta(STEPS)["data"]
    checkpoints.close()
    return jax.device_get(state), position


def curve(workdir):
    """metrics.jsonl without what depends on the clock."""
    rows = training.read_records(workdir)
    return [{k: v for k, v in row.items() if k != "images_per_second"} for row in rows]


def test_training_writes_what_it_promises(reference):
    workdir = reference(1)
    assert names(workdir) == [
        "checkpoints",
        "config.json",
        "metrics.jsonl",
        "samples",
        "tensorboard",
        "training.png",
    ]
    assert names(workdir / "samples") == [f"snapshot_{STEPS}.png"]
    assert names(workdir / "checkpoints") == ["10", "15", "20"]  # keep_checkpoints is 3
    assert len(names(workdir / "tensorboard")) == 1
    for picture in (workdir / "training.png", workdir / "samples" / f"snapshot_{STEPS}.png"):
        with Image.open(picture) as image:
            image.verify()


def test_the_stored_config_is_the_resolved_one(reference):
    stored = files.read_json(reference(1) / "config.json")
    config = commands.tiny_config("subvp", **CHUNKS[1])
    assert stored == files.plain(config.to_dict())
    assert stored["training"]["n_jitted_steps"] == 1


def test_metrics_have_every_step_and_every_name(reference):
    rows = training.read_records(reference(1))
    assert [row["step"] for row in rows] == list(range(1, STEPS + 1))
    always = {"step", "loss", "grad_norm", "learning_rate", "images_per_second"}
    evaluated = {row["step"] for row in rows if "eval_loss" in row}
    assert all(set(row) - {"eval_loss"} == always for row in rows)
    assert evaluated == {7, 14, STEPS}
    assert rows[0]["learning_rate"] == 0  # the first update of a warm-up
    assert all(math.isfinite(value) for row in rows for value in row.values())


def test_a_finished_run_started_again_changes_nothing(copy):
    before = curve(copy)
    message = succeed(*arguments(copy, **CHUNKS[1]))
    assert f"going on from step {STEPS}" in message
    assert curve(copy) == before
    assert names(copy / "checkpoints") == ["10", "15", "20"]


def test_fewer_steps_than_there_are(copy):
    before = (copy / "config.json").read_text()
    code, message = commands.run(*arguments(copy, **CHUNKS[1]), "--config.training.steps=5")
    assert code == 2 and f"trained to step {STEPS} already" in message
    assert (copy / "config.json").read_text() == before


def test_a_dequantizer_is_trained_and_used(small):
    flow = {
        "dequantizer__couplings": 2,
        "dequantizer__filters": 4,
        "dequantizer_training__batch_size": 8,
        "dequantizer_training__steps": 2,
    }
    both = {"likelihood__dequantizations": ("uniform", "learned")}
    code, workdir = small("vp", "train_dequantizer", **flow)
    assert code == 0
    assert names(workdir / "dequantizer" / "checkpoints") == ["2"]
    code, _ = small("vp", "eval", **flow, **both)
    assert code == 0
    results = files.read_json(workdir / "eval" / "results.json")
    learned = results["other_dequantizations"]["learned"]["bits_per_dim"]
    difference = learned["paired_difference"]
    wanted = learned["mean"] - results["bits_per_dim"]["mean"]
    np.testing.assert_allclose(difference["mean"], wanted, atol=1e-5)
    # After two steps the flow is nearly uniform noise.
    assert difference["standard_error"] > 0 and abs(difference["mean"]) < 0.1


def last_step(workdir):
    """Step of the last whole line of metrics.jsonl, 0 without one."""
    path = workdir / "metrics.jsonl"
    lines = path.read_text().split("\n")[:-1] if path.exists() else []
    return json.loads(lines[-1])["step"] if lines else 0


def stop(number, args, when):
    """Starts a command and sends a signal when a condition holds; returns what it ended with."""
    command = commands.start(*args)
    command.until(when)
    command.kill(number)
    return command.wait()


def saves_begun(workdir):
    return set((workdir / "checkpoints").glob("*orbax-checkpoint-tmp*"))


def newest_checkpoint(workdir):
    return max(
        [0, *(int(path.name) for path in workdir.glob("checkpoints/[0-9]*") if path.name.isdigit())]
    )


def gone_on(workdir):
    """Condition: a run started from now on has written a line of its own."""
    path = workdir / "metrics.jsonl"
    start, before = newest_checkpoint(workdir), path.stat().st_ino  # cut back in a new file
    return lambda: path.stat().st_ino != before and last_step(workdir) > start


def assert_same_run(workdir, reference, size):
    state, position = final_state(workdir, size)
    wanted, wanted_position = final_state(reference, size)
    assert position == wanted_position
    assert jax.tree.structure(state) == jax.tree.structure(wanted)
    for name in ("step", "params", "ema_params", "opt_state"):
        leaves = jax.tree.leaves(getattr(state, name)), jax.tree.leaves(getattr(wanted, name))
        for leaf, wanted_leaf in zip(*leaves, strict=True):
            np.testing.assert_array_equal(leaf, wanted_leaf, err_msg=name)
    assert curve(workdir) == curve(reference)


@pytest.mark.parametrize(("size", "last"), [(1, signal.SIGINT), (3, signal.SIGTERM)])
def test_a_run_stopped_again_and_again_equals_one_never_stopped(reference, tmp_path, size, last):
    args = arguments(tmp_path, **CHUNKS[size])
    # Before there is any checkpoint.
    code, message = stop(signal.SIGKILL, args, lambda: last_step(tmp_path) >= 2)
    assert code == -signal.SIGKILL, message
    assert newest_checkpoint(tmp_path) == 0
    # While a checkpoint is being written.
    before = saves_begun(tmp_path)
    code, message = stop(signal.SIGKILL, args, lambda: saves_begun(tmp_path) - before)
    assert code == -signal.SIGKILL, message
    # After the first line of a resumed run.
    code, message = stop(last, args, gone_on(tmp_path))
    assert code == 128 + last, message
    saved = newest_checkpoint(tmp_path)
    assert f"stopped at step {saved}; checkpoint saved" in message
    assert f"going on from step {saved}" in succeed(*args)
    assert_same_run(tmp_path, reference(size), size)


def test_chunks_end_at_absolute_multiples():
    """Wherever a run is resumed, it cuts its steps as one that was never stopped."""
    section = commands.tiny_config("subvp", **CHUNKS[3]).training

    def ends(step):
        found = []
        while step < STEPS:
            step = chunk_end(step, section)
            found.append(step)
        return found

    whole = ends(0)
    assert whole[:7] == [2, 3, 4, 5, 6, 7, 8] and whole[-1] == STEPS
    for start in [0, *whole]:
        assert ends(start) == [end for end in whole if end > start]
