"""The verbs end to end, as commands: files, resuming after a kill, agreement of batch sizes.

One reference run is trained, never stopped; it is evaluated, sampled and compared with runs that
were killed.
"""

import functools
import json
import math
import shutil
import signal

import commands
import jax
import numpy as np
import pytest
from PIL import Image
from small_network import SmallNetwork

import run_lib
from scoresde_jax import build, files, scoring, sharding, training
from scoresde_jax.build import assemble

STEPS = 20
INTERVALS = {
    "training__steps": STEPS,
    "training__checkpoint_every": 5,
    "training__eval_every": 7,
    "training__snapshot_every": STEPS,
}
# The second cuts steps into chunks of 1 and 2 out of 3, for 3 divides no interval.
CHUNKS = {
    1: INTERVALS | {"training__n_jitted_steps": 1, "training__log_every": 1},
    3: INTERVALS | {"training__n_jitted_steps": 3, "training__log_every": 2},
}


def arguments(workdir, mode="train", sde="subvp", **settings):
    config = f"configs/{sde}/digits.py:tiny"
    options = commands.options(**settings)
    return "--config", config, "--mode", mode, "--workdir", str(workdir), *options


def succeed(*args):
    """Runs a command that ends well; returns what came on stderr."""
    code, message = commands.run(*args)
    assert code == 0, message
    return message


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """chunk length -> workdir of a run that was never stopped."""

    @functools.cache
    def make(size):
        workdir = tmp_path_factory.mktemp("reference") / "run"
        succeed(*arguments(workdir, **CHUNKS[size]))
        return workdir

    return make


@pytest.fixture
def copy(reference, tmp_path):
    """A copy of the reference run, to write into."""
    return shutil.copytree(reference(1), tmp_path / "copy")


def names(folder):
    return sorted(p.name for p in folder.iterdir())


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


# ------------------------------------------------------------------------------------- files


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


def test_evaluation_writes_what_it_promises(copy):
    succeed(*arguments(copy, "eval", **CHUNKS[1]))
    assert names(copy / "eval") == ["bpd.npz", "bpd.png", "results.json"]
    results = files.read_json(copy / "eval" / "results.json")
    with np.load(copy / "eval" / "bpd.npz") as stored:
        columns = dict(stored)
    assert results["checkpoint_step"] == STEPS and results["not_converged"] == []
    assert results["other_dequantizations"] == {}
    assert results["evaluation_loss"]["images"] == 297
    for name, prefix in (("bits_per_dim", "uniform/"), ("bits_per_dim_bound", "uniform/bound_")):
        bits, bpd = results[name], columns[f"{prefix}bpd"]
        assert bits["images"] == len(bpd) == 297 and bits["dequantization"] == "uniform"
        np.testing.assert_allclose(bits["mean"], bpd.mean(dtype=np.float64), rtol=1e-6)
        error = bpd.std(ddof=1, dtype=np.float64) / 297**0.5
        np.testing.assert_allclose(bits["standard_error"], error, rtol=1e-6)
        np.testing.assert_allclose(bits["nfe"]["mean"], columns[f"{prefix}nfe"].mean())
        assert bits["nfe"]["max"] == columns[f"{prefix}nfe"].max()
    assert results["bits_per_dim"]["standard_error_of_estimates"] is None  # of a single probe
    assert results["bits_per_dim_bound"]["standard_error_of_estimates"] > 0
    assert results["config"] == files.read_json(copy / "config.json")
    assert all(len(column) == 297 for column in columns.values())
    np.testing.assert_array_equal(columns["index"], np.arange(297))


@pytest.mark.parametrize("method", ["pc", "ode"])
def test_sampling_writes_what_it_promises(copy, method):
    settings = CHUNKS[1] | {"sampling__method": method}
    succeed(*arguments(copy, "sample", **settings), "--num_samples", "6")  # batches of 4
    stem = f"{method}_{STEPS}"
    assert {f"{stem}.npz", f"{stem}.png"} < set(names(copy / "samples"))
    with np.load(copy / "samples" / f"{stem}.npz") as stored:
        images, nfe, converged = (stored[k] for k in ("samples", "nfe", "converged"))
    assert images.shape == (6, 8, 8, 1) and images.dtype == np.uint8
    levels = np.round(np.arange(17) * 255 / 16).astype(np.uint8)
    assert np.isin(images, levels).all() and len(np.unique(images)) > 1
    assert len(np.unique(images, axis=0)) == 6  # the second batch has a key of its own
    assert nfe.shape == converged.shape == (6,) and converged.all()
    if method == "pc":
        assert (nfe == 2).all()  # the sub-VP default has no corrector
    with Image.open(copy / "samples" / f"{stem}.png") as image:
        image.verify()


# ------------------------------------------------------------------------------------- in process


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Runs a verb in this process, on its four devices, with a network that compiles soon.

    (sde, mode, settings) -> exit code and workdir; the run is trained when first asked for.
    """

    def run(sde, mode, workdir, **settings):
        config = commands.raw_config(sde, training__steps=2, **settings)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(assemble, "_network", lambda section: SmallNetwork())
            return run_lib.run(config, mode=mode, workdir=workdir, num_samples=6)

    @functools.cache
    def trained(sde):
        workdir = tmp_path_factory.mktemp(sde)
        assert run(sde, "train", workdir) == 0
        return workdir

    def make(sde, mode, **settings):
        workdir = trained(sde)
        return run(sde, mode, workdir, **settings), workdir

    return make


def test_ve_with_its_own_network(tmp_path):
    settings = {"training__steps": 2, "training__snapshot_every": 2}
    args = arguments(tmp_path, sde="ve", **settings)
    succeed(*args)
    succeed(*args, "--mode", "eval")
    succeed(*args, "--mode", "sample", "--num_samples=3", "--config.sampling.method=ode")
    assert names(tmp_path / "samples") == ["ode_2.npz", "ode_2.png", "snapshot_2.png"]
    results = files.read_json(tmp_path / "eval" / "results.json")
    assert math.isfinite(results["bits_per_dim"]["mean"]) and results["not_converged"] == []


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


def test_a_dequantizer_that_was_not_trained_is_asked_for(small):
    with pytest.raises(run_lib.UserError, match="--mode train_dequantizer"):
        small("subvp", "eval", likelihood__dequantizations=("learned",))


def test_an_interrupted_evaluation_goes_on_and_gives_the_same(small, monkeypatch):
    settings = {"likelihood__images_per_piece": 100}
    code, workdir = small("subvp", "eval", **settings)
    assert code == 0 and not (workdir / "eval" / "pieces").exists()
    whole = (workdir / "eval" / "results.json").read_bytes()
    (workdir / "eval" / "results.json").unlink()
    score = scoring.Scorer.columns
    seen = []

    def interrupted(self, images, index, progress):
        if len(seen) == 1:
            seen.append("stop")
            raise KeyboardInterrupt
        seen.append(index[0])
        return score(self, images, index, progress)

    monkeypatch.setattr(scoring.Scorer, "columns", interrupted)
    with pytest.raises(KeyboardInterrupt):
        small("subvp", "eval", **settings)
    assert names(workdir / "eval" / "pieces") == ["0.npz", "work.json"]
    assert small("subvp", "eval", **settings)[0] == 0
    assert seen == [0, "stop", 100, 200]
    assert (workdir / "eval" / "results.json").read_bytes() == whole


def test_a_sweep_writes_a_table_and_a_figure(small):
    code, workdir = small("subvp", "sweep", sweep__samplers=("ode", "unipc"))
    assert code == 0
    assert names(workdir / "sweep") == ["results.json", "sweep.png", "table.md"]
    with Image.open(workdir / "sweep" / "sweep.png") as image:
        image.verify()
    assert "| unipc | 4 steps | 4 |" in (workdir / "sweep" / "table.md").read_text()


@pytest.mark.parametrize("name, columns", [("interpolation", 9), ("reconstruction", 2)])
def test_test_images_are_encoded_and_decoded(small, name, columns):
    code, workdir = small("subvp", "sample", sampling__latents=name)
    assert code == 0
    with np.load(workdir / "samples" / f"{name}_2.npz") as stored:
        rows = 3 if name == "interpolation" else 6
        assert stored["samples"].shape == (rows, columns, 8, 8, 1)
    with Image.open(workdir / "samples" / f"{name}_2.png") as image:
        image.verify()


@pytest.mark.parametrize("method", ["grid", "adaptive"])
def test_other_samplers_draw(small, method):
    code, workdir = small("subvp", "sample", sampling__method=method)
    assert code == 0
    with np.load(workdir / "samples" / f"{method}_2.npz") as stored:
        assert stored["samples"].shape == (6, 8, 8, 1) and stored["converged"].all()


def test_fewer_steps_than_there_are(copy):
    before = (copy / "config.json").read_text()
    code, message = commands.run(*arguments(copy, **CHUNKS[1]), "--config.training.steps=5")
    assert code == 2 and f"trained to step {STEPS} already" in message
    assert (copy / "config.json").read_text() == before


@pytest.mark.parametrize("sde", ["vp", "ve"])
def test_the_other_sdes_train_score_and_sample(small, sde):
    code, workdir = small(sde, "eval")
    assert code == 0
    assert names(workdir / "samples") == ["snapshot_2.png"]  # drawn with the PC sampler
    results = files.read_json(workdir / "eval" / "results.json")
    # An untrained model is some bits worse than uniform levels, log2 17 = 4.09.
    assert 3 < results["bits_per_dim"]["mean"] < 12
    code, workdir = small(sde, "sample", sampling__method="ode")
    assert code == 0
    with np.load(workdir / "samples" / "ode_2.npz") as stored:
        assert stored["samples"].shape == (6, 8, 8, 1) and stored["converged"].all()


def test_what_does_not_converge_is_listed(small, capsys):
    code, workdir = small("vp", "eval", likelihood__max_steps=2)
    assert code == 1
    message = capsys.readouterr().err
    results = files.read_json(workdir / "eval" / "results.json")
    with np.load(workdir / "eval" / "bpd.npz") as stored:
        lost = np.flatnonzero(~stored["uniform/converged"])
        assert np.isnan(stored["uniform/bpd"][lost]).all()
    assert lost.size and results["not_converged"] == lost.tolist()
    assert results["bits_per_dim"]["mean"] is results["bits_per_dim"]["standard_error"] is None
    assert str(lost.tolist()) in message and "config.likelihood.max_steps" in message
    code, _ = small("vp", "sample", sampling__method="ode", sampling__ode__max_steps=2)
    assert code == 1
    message = capsys.readouterr().err
    assert "[0, 1, 2, 3, 4, 5]" in message and "config.sampling.ode.max_steps" in message


# ------------------------------------------------------------------------------------- resuming


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


# ------------------------------------------------------------------------------------- pieces


def test_chunks_end_at_absolute_multiples():
    """Wherever a run is resumed, it cuts its steps as one that was never stopped."""
    section = commands.tiny_config("subvp", **CHUNKS[3]).training

    def ends(step):
        found = []
        while step < STEPS:
            step = run_lib._chunk_end(step, section)
            found.append(step)
        return found

    whole = ends(0)
    assert whole[:7] == [2, 3, 4, 5, 6, 7, 8] and whole[-1] == STEPS
    for start in [0, *whole]:
        assert ends(start) == [end for end in whole if end > start]


@pytest.mark.parametrize(
    ("file", "workdir"),
    [
        ("configs/vp/digits.py", "runs/vp-digits-default"),
        ("configs/subvp/emoji.py:tiny", "runs/subvp-emoji-tiny"),
    ],
)
def test_default_workdir(file, workdir):
    assert run_lib.default_workdir(file).as_posix() == workdir
