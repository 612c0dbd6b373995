"""Trained runs that the tests of the verbs share."""

import functools
import shutil

import commands
import pytest
from small_network import SmallNetwork
from verb_runs import CHUNKS, arguments, succeed

import run_lib
from scoresde_jax.build import assemble


@pytest.fixture(scope="session")
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


@pytest.fixture(scope="session")
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
