"""What a trained model makes, its averaged parameters make: here all others are NaN."""

import argparse
import json
import shutil

import commands
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_network import SmallNetwork

import run_lib
from benchmarks import guidance
from scoresde_jax import build, files, tasks, training, workdirs
from scoresde_jax.build import assemble

# The guide made small, and short runs of everything.
BRIEF = {
    "guide__channels": 2,
    "guide__features": 4,
    "sampling__method": "grid",
    "sampling__grid__steps": 2,
    "eval__num_samples": 4,
    "eval__enable_fid": True,
    "eval__yardsticks": False,
    "posterior__images": 2,
    "posterior__draws": 2,
    "posterior__batch_size": 4,
    "posterior__solver": "ddrm",
    "posterior__ddrm__steps": 2,
}


@pytest.fixture
def small_networks(monkeypatch):
    monkeypatch.setattr(assemble, "_network", lambda section: SmallNetwork())


def begin(task, config, workdir):
    """A run whose parameters are NaN, and whose averages are what training starts from."""
    state = training.create(task.init_params(jax.random.key(0)), task.optimizer)
    nothing = jax.tree.map(lambda leaf: jnp.full_like(leaf, jnp.nan), state.params)
    plain = files.plain(config.to_dict())
    state = state.replace(params=nothing)
    workdirs.begin(workdir, state, config=plain, data={"next_index": 0})


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """A workdir of averages alone, with a classifier of averages; not to be written into."""
    config = commands.tiny_config("subvp", **BRIEF)
    workdir = tmp_path_factory.mktemp("averages") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(assemble, "_network", lambda section: SmallNetwork())
        experiment = build.experiment(config)
        begin(tasks.score_task(experiment, config), config, workdir)
        begin(tasks.guide_task(experiment, config), config, workdir / "classifier")
    return workdir


@pytest.mark.parametrize(
    ("mode", "settings"),
    [
        ("eval", {}),  # likelihoods, loss and samples
        ("sample", {"sampling__latents": "reconstruction"}),
        ("sample", {"sampling__guidance__method": "classifier"}),
        ("sample", {"sampling__guidance__method": "auto"}),
        ("restore", {}),
    ],
)
def test_a_verb(begun, tmp_path, small_networks, mode, settings):
    workdir = shutil.copytree(begun, tmp_path / "run")
    config = commands.raw_config("subvp", **BRIEF, **settings)
    if config.sampling.guidance.method == "auto":
        config.sampling.guidance.weaker = str(begun)
    before = set(workdir.rglob("*"))
    # 1 is what comes of images and likelihoods that are not finite.
    assert run_lib.run(config, mode=mode, workdir=workdir, num_samples=4) == 0
    written = set(workdir.rglob("*")) - before
    assert any(path.suffix == ".npz" for path in written)
    for path in written:
        if path.suffix == ".json":
            json.dumps(files.read_json(path), allow_nan=False)


def test_the_benchmark_of_guidance(begun, small_networks):
    config = commands.tiny_config("subvp", **BRIEF)
    arguments = argparse.Namespace(workdir=begun, draws=1, seed=0)
    images, _ = guidance.draw(config, arguments, labelled=False)
    assert (np.ptp(images, axis=(1, 2, 3)) > 0).all()  # one that is not finite is black
