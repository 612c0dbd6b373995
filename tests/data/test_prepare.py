import pytest

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
    assert "\n  pip install -e .[tfds]\n" in message
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
    assert "known: cifar10, svhn_cropped. Did you mean 'cifar10'?" in message


def test_help_says_what_it_needs_and_where_it_writes(monkeypatch, capsys):
    monkeypatch.setenv("TFDS_DATA_DIR", "/data/tfds")
    with pytest.raises(SystemExit, match="0"):
        prepare.main(["--help"])
    text = " ".join(capsys.readouterr().out.split())
    for part in ("cifar10, svhn_cropped", "pip install -e .[tfds]", "now /data/tfds"):
        assert part in text
