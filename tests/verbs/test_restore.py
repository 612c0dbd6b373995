"""Restoring as a command: its files, its numbers, files of one's own, and what it refuses."""

import commands
import numpy as np
import pytest
from PIL import Image
from small_network import SmallNetwork

import run_lib
from scoresde_jax import files
from scoresde_jax.build import assemble
from scoresde_jax.verbs import UserError

BRIEF = {
    "posterior__images": 3,
    "posterior__draws": 2,
    "posterior__batch_size": 4,  # two batches, the second half full
    "posterior__ddrm__steps": 3,
    "posterior__pigdm__steps": 3,
}


def result(workdir, stem):
    folder = workdir / "restore"
    with Image.open(folder / f"{stem}.png") as image:
        image.verify()
    with np.load(folder / f"{stem}.npz") as stored:
        return dict(stored), files.read_json(folder / f"{stem}.json")


def test_known_pixels_are_kept_and_numbers_are_of_the_draws(small):
    code, workdir = small("subvp", "restore", **BRIEF, posterior__solver="ddrm")
    assert code == 0
    arrays, numbers = result(workdir, "box_ddrm_2")
    draws, truth = arrays["draws"], arrays["truth"]
    assert draws.shape == (3, 2, 8, 8, 1) and draws.dtype == truth.dtype == np.uint8
    known = np.ones((8, 8), bool)
    known[2:6, 2:6] = False
    for pictures in (draws[:, 0], draws[:, 1], arrays["degraded"], arrays["mean"]):
        np.testing.assert_array_equal(pictures[:, known], truth[:, known])
    assert (arrays["std"][:, known] < 1e-6).all() and (arrays["std"][:, ~known] > 0).any()
    assert len(np.unique(draws[:, :, ~known], axis=1)) == 3  # and no image twice
    assert not np.array_equal(draws[2, 0], draws[2, 1])  # of the second batch
    assert numbers["draw"]["consistency"] < 1e-6  # of x as it was, not as pixels
    # Half a level of 17 is what pixels may be off the x that is measured by: 0.03 of 1.
    rms = np.sqrt(np.mean((draws / 255.0 - truth[:, None] / 255.0) ** 2, axis=(2, 3, 4)))
    assert abs(numbers["draw"]["psnr"] + 20 * np.log10(rms).mean()) < 1.5
    assert set(numbers["nearest"]) == {"psnr", "ssim", "consistency"} == set(numbers["mean_colour"])


def restored(monkeypatch, workdir, file, **settings):
    monkeypatch.setattr(assemble, "_network", lambda section: SmallNetwork())
    config = commands.raw_config("subvp", training__steps=2, **(BRIEF | settings))
    return run_lib.run(config, mode="restore", workdir=workdir, input=str(file))


def test_a_small_picture_of_ones_own_is_restored(small, trained, tmp_path, monkeypatch):
    """Step by step, as CPUs do it."""
    _, workdir = small("subvp", "report")
    picture = np.arange(16, dtype=np.uint8).reshape(4, 4) * 17
    Image.fromarray(picture).save(tmp_path / "small.png")
    settings = {"posterior__operator": "average", "posterior__input": "degraded"}
    assert restored(monkeypatch, workdir, tmp_path / "small.png", **settings) == 0
    arrays, numbers = result(workdir, "average_pigdm_2")
    assert arrays["draws"].shape == (1, 2, 8, 8, 1) and "truth" not in arrays
    np.testing.assert_allclose(
        arrays["y"][0, ..., 0], 2 * (picture / 255 * 16 + 0.5) / 17 - 1, atol=1e-6
    )
    assert set(numbers["draw"]) == {"consistency"} and numbers["evaluations"] == 4


@pytest.mark.parametrize(
    ("name", "array", "settings", "message"),
    [
        ("a.npy", np.zeros((2, 9, 8), np.uint8), {}, r"\(9, 8, 1\); expected \(8, 8, 1\)"),
        ("a.npy", np.zeros((2, 8, 8, 3), np.uint8), {}, r"\(8, 8, 3\); expected \(8, 8, 1\)"),
        ("a.npy", np.full((2, 8, 8), 1.5), {}, "outside 0 to 1"),
        ("a.npy", np.zeros((2, 8, 8), np.int32), {}, "uint8 or floats"),
        ("a.png", None, {}, "is no file"),
        (
            "a.npy",
            np.zeros((8, 8)),
            {"posterior__operator": "hadamard", "posterior__input": "degraded"},
            "measures is no picture",
        ),
        (
            "a.npy",
            np.zeros((8, 8)),
            {"posterior__operator": "average", "posterior__input": "degraded"},
            r"\(8, 8, 1\); expected \(4, 4, 1\), what config.posterior.operator 'average' makes",
        ),
        ("a.npy", np.zeros((8, 8)), {"posterior__input": "degarded"}, "known: original, degraded"),
        ("", None, {"posterior__input": "degraded"}, "name the file by --input"),
    ],
)
def test_what_does_not_fit_is_said(tmp_path, monkeypatch, name, array, settings, message):
    if array is not None:
        np.save(tmp_path / name, array)
    with pytest.raises(UserError, match=message):
        restored(monkeypatch, tmp_path / "run", name and tmp_path / name, **settings)
    assert not (tmp_path / "run").exists()


def test_input_is_of_this_mode_only():
    code, message = commands.run("--config", "configs/subvp/digits.py", "--input", "a.png")
    assert code == 2 and "--mode restore" in message
