"""Users' pictures and CIFAR-10 as they are prepared offline, from the files to samples."""

import commands
import pytest
from made_images import made, write_folder
from PIL import Image
from verb_runs import names, run_quickly, succeed

from configs.vp import cifar10, folder
from scoresde_jax import data, files, verbs


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
