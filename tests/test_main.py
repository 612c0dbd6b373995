"""A mistake on the command line: exit code 2, one message, nothing written."""

import os
import subprocess
import sys

import commands
import pytest

import run_lib
from scoresde_jax import training

DIGITS = "configs/subvp/digits.py:tiny"


def tree(folder):
    """Every file of a folder with what is in it."""
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() if p.is_file() else None
        for p in folder.rglob("*")
    }


@pytest.fixture
def workdir(tmp_path):
    return tmp_path / "run"


def fail(workdir, *arguments, devices=1):
    """Runs a command that a user's mistake ends; returns its message."""
    before = tree(workdir.parent)
    code, message = commands.run("--workdir", str(workdir), *arguments, devices=devices)
    assert code == 2, message
    assert "Traceback" not in message
    assert message.count("error:") == 1
    assert tree(workdir.parent) == before  # nothing made, nothing written over
    return message


# Option(s) -> what the message must hold: what was expected, what came, what to do.
MISTAKES = {
    "unknown key": (
        ["--config", DIGITS, "--config.training.batch_sise=64"],
        ["config.training", "'batch_sise'", "Did you mean 'batch_size'?", "checkpoint_every"],
    ),
    "unknown section": (
        ["--config", DIGITS, "--config.trainin.batch_size=64"],
        ["'trainin'", "Did you mean 'training'?"],
    ),
    "key of a value": (
        ["--config", DIGITS, "--config.training.steps.many=64"],
        ["config.training.steps"],
    ),
    "wrong type": (
        ["--config", DIGITS, "--config.training.batch_size=many"],
        ["config.training.batch_size", "'many'", "int"],
    ),
    "wrong type of a real number": (
        ["--config", DIGITS, "--config.optimizer.learning_rate=fast"],
        ["config.optimizer.learning_rate", "'fast'", "float"],
    ),
    "missing config file": (
        ["--config", "configs/vp/digit.py"],
        ["'configs/vp/digit.py'", "not a file", "configs/vp/digits.py"],
    ),
    "no config": ([], ["--config is missing", "python main.py --config configs/"]),
    "no config but an option of it": (
        ["--config.training.batch_size=64"],
        ["--config", "configs/"],
    ),
    "unknown variant": (
        ["--config", "configs/subvp/digits.py:tinny"],
        ["'tinny'", "default", "tiny"],
    ),
    "unknown flag": (["--config", DIGITS, "--workdri=x"], ["workdri", "Did you mean", "workdir"]),
    "bad mode": (
        ["--config", DIGITS, "--mode", "test"],
        ["mode", "test", "train", "eval", "sample", "import", "export"],
    ),
    "import of nothing": (
        ["--config", DIGITS, "--mode=import"],
        ["--source FILE and --mode import go together"],
    ),
    "a source for another mode": (
        ["--config", DIGITS, "--mode=sample", "--source=README.md"],
        ["--source FILE and --mode import go together"],
    ),
    "bad number of samples": (
        ["--config", DIGITS, "--mode=sample", "--num_samples=0"],
        ["num_samples", "0"],
    ),
    "several processes for another mode": (
        ["--config", DIGITS, "--mode=eval", "--distributed"],
        ["--distributed goes with --mode train"],
    ),
    "several processes without a cluster": (
        ["--config", DIGITS, "--distributed"],
        ["--distributed found no cluster to join", "Slurm or Open MPI"],
    ),
    "stray argument": (["train", "--config", DIGITS], ["'train'", "--config FILE"]),
    "unknown predictor": (
        ["--config", DIGITS, "--config.sampling.pc.predictor=reverse_difusion"],
        ["config.sampling.pc.predictor", "'reverse_difusion'", "euler_maruyama", "Did you mean"],
    ),
    "ancestral on sub-VP": (
        ["--config", DIGITS, "--config.sampling.pc.predictor=ancestral"],
        ["config.sampling.pc.predictor", "'ancestral'", "ve, vp", "'subvp'"],
    ),
    "unknown data set": (
        ["--config", DIGITS, "--config.data.name=digit"],
        ["'digit'", "digits", "Did you mean"],
    ),
    "no steps": (["--config", DIGITS, "--config.training.steps=0"], ["config.training.steps", "0"]),
    "negative seed": (
        ["--config", DIGITS, "--config.training.seed=-1"],
        ["config.training.seed is -1", ">= 0"],
    ),
    "no snapshot images": (
        ["--config", DIGITS, "--config.training.snapshot_images=0"],
        ["config.training.snapshot_images is 0", ">= 1"],
    ),
    "no probes": (
        ["--config", DIGITS, "--mode=eval", "--config.likelihood.probes=-1"],
        ["config.likelihood.probes is -1", ">= 0"],
    ),
    "too many levels for the image": (
        ["--config", DIGITS, "--config.model.channel_multipliers=(1,2,2,2,2)"],
        ["config.data.image_size is 8", "16", "config.model.channel_multipliers"],
    ),
    "a parameterization that needs a chain": (
        ["--config", "configs/vp/digits.py", "--config.parameterization.name=vp_discrete"],
        ["config.parameterization.name", "'vp_discrete'", "config.parameterization.n"],
    ),
    "logarithm of label 0": (
        ["--config", "configs/ve/cifar10.py:ncsnpp", "--config.model.embedding=fourier"],
        ["config.model.embedding", "'fourier'", "'ve_discrete'", "'positional'"],
    ),
    "gradients clipped to nothing": (
        ["--config", DIGITS, "--config.optimizer.clip_norm=0.0"],
        ["config.optimizer.clip_norm is 0", "negative"],
    ),
    "a number that JSON cannot hold": (
        ["--config", DIGITS, "--config.optimizer.clip_norm=inf"],
        ["config.optimizer.clip_norm", "inf"],
    ),
}


@pytest.mark.parametrize(("arguments", "parts"), MISTAKES.values(), ids=MISTAKES)
def test_mistake_is_one_message(workdir, arguments, parts):
    message = fail(workdir, *arguments)
    for part in parts:
        assert part in message


@pytest.mark.parametrize(
    ("mode", "name"),
    [("train", "training"), ("eval", "likelihood"), ("sample", "sampling")],
)
def test_batch_that_the_devices_do_not_divide(workdir, mode, name):
    setting = f"config.{name}.batch_size"
    arguments = ("--config", DIGITS, "--mode", mode, f"--{setting}=6")
    message = fail(workdir, *arguments, devices=4)
    assert f"{setting} is 6" in message and "4 devices" in message and "multiple of 4" in message


def test_a_workdir_that_is_a_file(workdir):
    workdir.write_text("mine")
    message = fail(workdir, "--config", DIGITS)
    assert f"--workdir {workdir} is not a folder" in message and "name another" in message
    assert workdir.read_text() == "mine"


def test_cores_are_devices(workdir):
    arguments = ("--config", DIGITS, "--cpu_devices=3", "--config.training.batch_size=8")
    assert "8, which 3 devices do not divide" in fail(workdir, *arguments)


@pytest.mark.parametrize("mode", ["eval", "sample", "export"])
def test_no_checkpoint(workdir, mode):
    message = fail(workdir, "--config", DIGITS, "--mode", mode)
    assert f"{workdir} has no checkpoint" in message and "--mode train" in message


def test_data_that_are_not_prepared(workdir, tmp_path):
    message = fail(
        workdir,
        "--config=configs/vp/cifar10.py",
        f"--config.data.data_dir={tmp_path}/data",
        "--config.model.blocks_per_level=1",  # as good, and built sooner
    )
    assert "cifar10 is not prepared" in message and f"{tmp_path}/data" in message
    assert "python -m scoresde_jax.data.prepare cifar10" in message


@pytest.mark.parametrize("mode", ["train", "eval", "sample"])
def test_checkpoint_of_another_model(workdir, mode):
    config = commands.tiny_config("subvp")
    config.model.features = 16
    checkpoints = training.Checkpoints(workdir / "checkpoints")
    state = training.create({}, training.adam(lambda step: 0.1))
    checkpoints.save(state, config=config.to_dict(), data={"next_index": 0})
    checkpoints.close()
    message = fail(workdir, "--config", DIGITS, "--mode", mode, *commands.options())
    assert str(workdir) in message and "another model" in message
    assert "config.model.features is 8, was 16" in message and "--workdir" in message
    assert "batch_size" not in message  # only what differs, and only what matters


def test_help_says_what_and_how():
    """In an interpreter of its own, as a user calls it."""
    command = [sys.executable, "main.py", "--help"]
    done = subprocess.run(
        command,
        cwd=commands.ROOT,
        env=dict(os.environ),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert "Traceback" not in done.stderr
    flags = (
        "--config",
        "--mode",
        "--workdir",
        "--num_samples",
        "--source",
        "--cpu_devices",
        "--[no]distributed",
    )
    assert all(flag in done.stdout for flag in flags)
    unbroken = "".join(done.stdout.split())  # absl breaks lines in the middle of the list
    assert f"<{'|'.join(run_lib.VERBS)}>" in unbroken
    assert "python main.py --config configs/" in done.stdout
