"""Trained runs that the tests of the verbs share."""

import functools
import shutil

import commands
import pytest
from verb_runs import CHUNKS, arguments, run_quickly, succeed


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


def run_small(sde, mode, workdir, **settings):
    """A verb on the tiny digits config."""
    config = commands.raw_config(sde, training__steps=2, **settings)
    return run_quickly(config, mode, workdir)


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """sde -> workdir of two training steps, made when first asked for; not to be written into."""

    @functools.cache
    def make(sde):
        workdir = tmp_path_factory.mktemp("trained") / sde
        assert run_small(sde, "train", workdir) == 0
        return workdir

    return make


@pytest.fixture
def small(trained, tmp_path):
    """(sde, mode, settings) -> exit code and workdir, a copy that is the test's own."""

    @functools.cache
    def copied(sde):
        return shutil.copytree(trained(sde), tmp_path / sde)

    def make(sde, mode, **settings):
        workdir = copied(sde)
        return run_small(sde, mode, workdir, **settings), workdir

    return make
