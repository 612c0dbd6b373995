import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

from scoresde_jax.data import load
from scoresde_jax.data.tfds import DataNotPrepared, default_data_dir, prepared_dir, tfds_images


@pytest.mark.parametrize(("split", "first", "last"), [("train", 0, 50), ("test", 50, 70)])
def test_each_record_is_read_once_with_its_own_label(
    cifar10_builder, cifar10_dir, split, first, last
):
    data = load("cifar10", split, cifar10_dir)
    number = data.images[:, 0, 0, 0].astype(int)
    assert sorted(number) == list(range(first, last))
    np.testing.assert_array_equal(
        data.images, np.stack([cifar10_builder.picture(i) for i in number])
    )
    np.testing.assert_array_equal(data.labels, number % 10)
    assert (data.name, data.levels, data.classes) == ("cifar10", 256, cifar10_builder.classes)


def test_order_is_the_same_each_time(cifar10_dir):
    left, right = (tfds_images("cifar10", "train", cifar10_dir) for _ in range(2))
    np.testing.assert_array_equal(left.images, right.images)


def test_data_dir_defaults_to_the_environment(cifar10_dir, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(cifar10_dir))
    assert len(load("cifar10", "test").images) == 20
    monkeypatch.setenv("TFDS_DATA_DIR", "")
    monkeypatch.setenv("HOME", "/home/someone")
    assert str(default_data_dir()) == "/home/someone/tensorflow_datasets"


def test_missing_data_is_one_message_with_the_commands_that_help(tmp_path, monkeypatch):
    # Were TFDS imported, or a socket opened, before the check, this would raise something else.
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    with pytest.raises(DataNotPrepared) as caught:
        load("cifar10", "train", tmp_path)
    message = str(caught.value)
    assert isinstance(caught.value, ValueError) and isinstance(caught.value, FileNotFoundError)
    assert "array_record" in message and f"found no {tmp_path}/cifar10/VERSION" in message
    lines = [line.strip() for line in message.splitlines()]
    assert lines[-2:] == [
        "pip install -e .[tfds]",
        f"python -m scoresde_jax.data.prepare cifar10 --data_dir {tmp_path}",
    ]
    with pytest.raises(DataNotPrepared, match="found no directory .*/nowhere"):
        load("cifar10", "train", tmp_path / "nowhere")


def write_info(directory, kind):
    directory.mkdir(parents=True)
    info = {"name": "cifar10", "version": directory.name, "fileFormat": kind}
    (directory / "dataset_info.json").write_text(json.dumps(info))


def test_a_copy_that_needs_tensorflow_is_named(tmp_path):
    write_info(tmp_path / "cifar10" / "3.0.2", "tfrecord")
    with pytest.raises(DataNotPrepared, match=r"only .*/3\.0\.2 \(tfrecord\), .*; move that away"):
        prepared_dir("cifar10", tmp_path)


def test_the_newest_readable_version_is_taken(tmp_path):
    for version, kind in [
        ("3.0.2", "array_record"),
        ("3.0.10", "array_record"),  # newer than 3.0.2, though not in the alphabet
        ("4.0.0", "tfrecord"),
        ("incomplete.ABC_5.0.0", "array_record"),
    ]:
        write_info(tmp_path / "cifar10" / version, kind)
    assert prepared_dir("cifar10", tmp_path) == tmp_path / "cifar10" / "3.0.10"


def test_another_image_size_is_refused(cifar10_dir, tmp_path):
    copy = shutil.copytree(cifar10_dir / "cifar10", tmp_path / "cifar10") / "3.0.2"
    features = copy / "features.json"
    features.write_text(features.read_text().replace('"32"', '"16"'))
    with pytest.raises(ValueError, match=r"\(32, 32, 3\); .*3\.0\.2 has \(16, 16, 3\)"):
        tfds_images("cifar10", "train", tmp_path)


def test_reading_does_not_import_tensorflow_even_where_it_is_installed(cifar10_dir, tmp_path):
    stub = tmp_path / "tensorflow"
    stub.mkdir()
    (stub / "__init__.py").write_text("raise SystemExit('TensorFlow was imported')")
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); sys.dont_write_bytecode = True;"
        "from scoresde_jax.data import load;"
        f"print(len(load('cifar10', 'train', {str(cifar10_dir)!r}).images))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("50\n", "")
