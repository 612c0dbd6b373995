"""Users' pictures and CIFAR-10 as they are prepared offline, from the files to samples."""

import pathlib

import commands
import pytest
from made_images import made, write_folder
from PIL import Image
from verb_runs import names, run_quickly, succeed

import run_lib
from configs.vp import cifar10, folder
from scoresde_jax import data, files, reports, training, verbs
from scoresde_jax.data import inspect
from scoresde_jax.data.order import permutation


def shortened(config, **settings):
    """The config with the test's own lengths; all that it says of data stays."""
    lengths = {"training.steps": 2, "training.batch_size": 8, "sampling.pc.steps": 2}
    config.update_from_flattened_dict(lengths | {"training.snapshot_every": 2} | settings)
    return config


def looks_right(workdir):
    assert names(workdir / "checkpoints") == ["2"]
    with Image.open(workdir / "samples" / "snapshot_2.png") as grid:
        assert grid.mode == "RGB" and min(grid.size) >= 32


def test_a_folder_of_pictures_trains_as_a_command(tmp_path):
    path = write_folder(tmp_path / "mine", made(24, 40, 36))
    config = ("--config", "configs/vp/folder.py:tiny", f"--config.data.path={path}")
    workdir, options = tmp_path / "run", commands.options(training__steps=2)
    succeed(*config, "--mode", "train", "--workdir", str(workdir), *options)
    looks_right(workdir)
    before = files.read_json(workdir / "config.json")["data"]
    assert before["path"] == str(path) and before["image_size"] == 32


def test_a_folder_of_pictures_trains_by_default_also_with_workers(tmp_path, monkeypatch):
    monkeypatch.setattr(data.load, "__kwdefaults__", data.load.__kwdefaults__ | {"ram_limit": 0})
    path = write_folder(tmp_path / "mine", made(24, 40, 36))
    settings = {"data.path": str(path), "data.workers": 1}
    config = shortened(folder.get_config(), **settings)
    assert run_quickly(config, "train", tmp_path / "run") == 0
    looks_right(tmp_path / "run")


def test_a_bad_picture_met_on_the_way_loses_nothing(tmp_path, monkeypatch):
    """What RAM does not hold is decoded as it is needed; training goes on once it is mended."""
    monkeypatch.setattr(data.load, "__kwdefaults__", data.load.__kwdefaults__ | {"ram_limit": 0})
    path = write_folder(tmp_path / "mine", made(24, 40, 36))
    lengths = {"training.steps": 3, "training.n_jitted_steps": 1, "training.snapshot_every": 100}
    config = shortened(folder.get_config(), **{"data.path": str(path)}, **lengths)
    images = data.load("folder", "train", path=path, image_size=32).images
    order = permutation(len(images), config.training.seed, 0)
    bad = pathlib.Path(images.store.name(images.rows[order[16]]))  # of the third batch of 8
    whole = bad.read_bytes()
    bad.write_bytes(b"text")
    with pytest.raises(reports.RunError, match=rf"{bad.name}: it is no .*\n.*on_corrupt=skip"):
        run_quickly(config, "train", tmp_path / "run")
    assert names(tmp_path / "run" / "checkpoints") == ["2"]
    bad.write_bytes(whole)
    assert run_quickly(config, "train", tmp_path / "run") == 0
    assert names(tmp_path / "run" / "checkpoints") == ["2", "3"]
    checkpoints = training.Checkpoints(tmp_path / "run" / "checkpoints")
    assert [checkpoints.meta(step)["data"]["next_index"] for step in (2, 3)] == [2, 3]
    checkpoints.close()


def test_data_are_described_with_the_workers_asked_for(tmp_path, monkeypatch, capsys):
    """And a bad picture among those looked at is one message."""
    monkeypatch.setattr(data.load, "__kwdefaults__", data.load.__kwdefaults__ | {"ram_limit": 0})
    asked = {}
    monkeypatch.setattr(
        inspect, "images_per_second", lambda _, **options: asked.update(options) or 1
    )
    path = write_folder(tmp_path / "mine", made(24, 40, 36))
    config = shortened(folder.get_config(), **{"data.path": str(path), "data.workers": 3})
    assert run_lib.run(config, mode="data", workdir=tmp_path / "run") == 0
    assert asked == {"batch_size": 8, "workers": 3}
    assert "22 images of 32 x 32 x 3" in capsys.readouterr().out
    (path / "003.png").write_bytes(b"text")
    with pytest.raises(reports.RunError, match=r"003\.png: it is no .*\n.*on_corrupt=skip"):
        run_lib.run(config, mode="data", workdir=tmp_path / "run")


def test_a_folder_that_is_empty_is_said_at_once(tmp_path):
    (tmp_path / "mine").mkdir()
    config = shortened(folder.get_config("tiny"), **{"data.path": str(tmp_path / "mine")})
    with pytest.raises(verbs.UserError, match="mine"):
        run_quickly(config, "train", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_cifar10_trains_on_data_prepared_offline(cifar10_dir, tmp_path):
    config = shortened(cifar10.get_config(), **{"data.data_dir": str(cifar10_dir)})
    assert run_quickly(config, "train", tmp_path / "run") == 0
    looks_right(tmp_path / "run")
