import io
import tarfile

import numpy as np
import pytest
from made_images import made

from scoresde_jax.data import load, prepare


@pytest.fixture
def fake_tensorflow(monkeypatch):
    """Makes prepare believe that TensorFlow is there; nothing it calls here needs it."""
    monkeypatch.setattr(prepare, "find_spec", lambda name: name)


def test_what_prepare_writes_load_reads(cifar10_builder, fake_tensorflow, tmp_path, monkeypatch):
    import tensorflow_datasets as tfds

    asked = []

    def builder(name, **kwargs):
        asked.append((name, kwargs["file_format"]))
        return cifar10_builder(**kwargs)

    monkeypatch.setattr(tfds, "builder", builder)
    assert prepare.main(["cifar10", "--data_dir", str(tmp_path)]) == 0
    assert asked == [("cifar10", "array_record")]
    assert len(load("cifar10", "train", tmp_path).images) == 50
    assert prepare.main(["cifar10", "--data_dir", str(tmp_path)]) == 0  # again: nothing to do


def test_prints_where_the_data_went(
    cifar10_builder, cifar10_dir, fake_tensorflow, monkeypatch, capsys
):
    import tensorflow_datasets as tfds

    monkeypatch.setattr(tfds, "builder", lambda name, **kwargs: cifar10_builder(**kwargs))
    prepare.main(["cifar10", "--data_dir", str(cifar10_dir)])
    assert capsys.readouterr().out == f"cifar10 is ready in {cifar10_dir}/cifar10/3.0.2\n"


def exit_message(argv, capsys):
    with pytest.raises(SystemExit) as caught:
        prepare.main(argv)
    assert caught.value.code == 2
    return capsys.readouterr().err


def test_missing_tensorflow(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(prepare, "find_spec", lambda name: None)
    message = exit_message(["cifar10", "--data_dir", str(tmp_path)], capsys)
    assert "cifar10 needs TensorFlow" in message
    assert "\n  pip install -e '.[tfds]'\n" in message
    assert not any(tmp_path.iterdir())


def test_a_copy_in_another_format_is_not_fought_over(fake_tensorflow, capsys, tmp_path):
    """Most people who have CIFAR-10 have it as tfrecord; TFDS fails on that with a traceback."""
    info = tmp_path / "cifar10" / "3.0.2" / "dataset_info.json"
    info.parent.mkdir(parents=True)
    info.write_text('{"fileFormat": "tfrecord"}')
    message = exit_message(["cifar10", "--data_dir", str(tmp_path)], capsys)
    assert f"{info.parent} holds cifar10 as tfrecord" in message
    assert "move it away, or give another --data_dir" in message


def test_unknown_name_lists_the_known(fake_tensorflow, capsys):
    message = exit_message(["cifar"], capsys)
    assert "known: cifar10, svhn_cropped, mnist" in message
    assert "Did you mean 'cifar10'?" in message


def test_help_says_what_it_needs_and_where_it_writes(monkeypatch, capsys):
    monkeypatch.setenv("TFDS_DATA_DIR", "/data/tfds")
    with pytest.raises(SystemExit, match="0"):
        prepare.main(["--help"])
    text = " ".join(capsys.readouterr().out.split())
    for part in ("cifar10, svhn_cropped", "pip install -e '.[tfds]'", "now /data/tfds"):
        assert part in text


def write_archive(path, images, labels, leave_out=(), cut=0):
    """cifar-10-binary.tar.gz with a sixth of the images in each file of records."""
    rows = [
        bytes([label]) + image.transpose(2, 0, 1).tobytes()
        for image, label in zip(images, labels, strict=True)
    ]
    names = [*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"]
    files = {name: b"".join(rows[i::6])[cut:] for i, name in enumerate(names)}
    files["batches.meta.txt"] = b"cat\ndog\nfrog\n\n"
    with tarfile.open(path, "w:gz") as tar:
        for name in files.keys() - set(leave_out):
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            member.size = len(files[name])
            tar.addfile(member, io.BytesIO(files[name]))
    return path


IMAGES, LABELS = made(18, 32, 32), np.arange(18) % 3


def test_cifar10_from_its_archive_without_tensorflow(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(prepare, "find_spec", lambda name: None)
    archive = write_archive(tmp_path / "cifar-10-binary.tar.gz", IMAGES, LABELS)
    data_dir = tmp_path / "data"
    command = ["cifar10", "--archive", str(archive), "--data_dir", str(data_dir)]
    assert prepare.main(command) == 0
    assert f"{archive} is NOT the published archive" in capsys.readouterr().out
    rows = {"train": [i for i in range(18) if i % 6 < 5], "test": [5, 11, 17]}
    for split, expected in rows.items():
        data = load("cifar10", split, data_dir, image_size=32, channels=3)
        assert data.classes == ("cat", "dog", "frog") and len(data.images) == len(expected)
        found = zip(data.images, data.labels, strict=True)
        assert {image.tobytes(): label for image, label in found} == {
            IMAGES[i].tobytes(): LABELS[i] for i in expected
        }
    assert prepare.main(command) == 0  # again: nothing to do


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ({"leave_out": ["data_batch_3.bin"]}, "data_batch_3.bin"),
        ({"cut": 5}, "does not hold records of 3073 bytes"),
        ({"cut": 3 * 3073}, "does not hold records"),
    ],
)
def test_archives_that_are_not_cifar10(damage, message, tmp_path, capsys):
    archive = write_archive(tmp_path / "a.tar.gz", IMAGES, LABELS, **damage)
    argv = ["cifar10", "--archive", str(archive), "--data_dir", str(tmp_path / "data")]
    assert message in exit_message(argv, capsys)
    assert not (tmp_path / "data" / "cifar10").exists()


@pytest.mark.parametrize("size", [0, 10, 900])
def test_archives_that_are_cut_off(size, tmp_path, capsys):
    archive = write_archive(tmp_path / "a.tar.gz", IMAGES, LABELS)
    archive.write_bytes(archive.read_bytes()[:size])
    argv = ["cifar10", "--archive", str(archive), "--data_dir", str(tmp_path / "data")]
    assert "is not cifar-10-binary.tar.gz, or is damaged" in exit_message(argv, capsys)


def test_other_sets_have_no_archive(capsys):
    message = exit_message(["mnist", "--archive", "x"], capsys)
    assert "only cifar10 can be stored from an --archive" in message
