"""Sampling as a command: files of every sampler."""

import math

import numpy as np
import pytest
from PIL import Image
from verb_runs import CHUNKS, STEPS, arguments, names, succeed

from scoresde_jax import files


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


@pytest.mark.parametrize("method", ["grid", "adaptive"])
def test_other_samplers_draw(small, method):
    code, workdir = small("subvp", "sample", sampling__method=method)
    assert code == 0
    with np.load(workdir / "samples" / f"{method}_2.npz") as stored:
        assert stored["samples"].shape == (6, 8, 8, 1) and stored["converged"].all()


@pytest.mark.parametrize("name, columns", [("interpolation", 9), ("reconstruction", 2)])
def test_test_images_are_encoded_and_decoded(small, name, columns):
    code, workdir = small("subvp", "sample", sampling__latents=name)
    assert code == 0
    with np.load(workdir / "samples" / f"{name}_2.npz") as stored:
        rows = 3 if name == "interpolation" else 6
        assert stored["samples"].shape == (rows, columns, 8, 8, 1)
    with Image.open(workdir / "samples" / f"{name}_2.png") as image:
        image.verify()


def test_ve_with_its_own_network(tmp_path):
    settings = {"training__steps": 2, "training__snapshot_every": 2}
    args = arguments(tmp_path, sde="ve", **settings)
    succeed(*args)
    succeed(*args, "--mode", "eval")
    succeed(*args, "--mode", "sample", "--num_samples=3", "--config.sampling.method=ode")
    assert names(tmp_path / "samples") == ["ode_2.npz", "ode_2.png", "snapshot_2.png"]
    results = files.read_json(tmp_path / "eval" / "results.json")
    assert math.isfinite(results["bits_per_dim"]["mean"]) and results["not_converged"] == []
