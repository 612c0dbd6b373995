"""Runs of the tiny digits model, as commands; of any config, with a network that compiles soon."""

import commands
import pytest
from small_network import SmallNetwork

import run_lib
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


def names(folder):
    return sorted(p.name for p in folder.iterdir())


def run_quickly(config, mode, workdir):
    """A verb in this process, on its four devices, with a network that compiles soon."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(assemble, "_network", lambda section: SmallNetwork())
        return run_lib.run(config, mode=mode, workdir=workdir, num_samples=6)
