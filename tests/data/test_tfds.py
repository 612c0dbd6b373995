import io
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from made_images import encoded, made

from scoresde_jax.data import batches, load, pictures
from scoresde_jax.data.source import Request
from scoresde_jax.data.splits import held_out
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
    left, right = (tfds_images("cifar10", Request("train"), cifar10_dir) for _ in range(2))
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
        "pip install -e '.[tfds]'",
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
        tfds_images("cifar10", Request("train"), tmp_path)


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


# The other sets. TFDS shuffles what it stores: images are looked up by what they are.


def jpegs(images):
    return [io.BytesIO(encoded(image, "JPEG", quality=95)) for image in images]


def decoded(image, fit, size):
    data = encoded(image, "JPEG", quality=95)
    return pictures.picture(data, fit=fit, size=size, channels=3)


def assert_same_set(images, expected):
    assert sorted(i.tobytes() for i in images) == sorted(i.tobytes() for i in expected)


@pytest.mark.parametrize(
    ("name", "version", "shape", "more"),
    [("mnist", "3.0.1", (28, 28, 1), ()), ("svhn_cropped", "3.1.0", (32, 32, 3), ("extra",))],
)
def test_sets_of_one_size(name, version, shape, more, prepare_tfds, tmp_path):
    images = made(14, *shape)

    def record(i):
        return {"image": io.BytesIO(encoded(images[i])), "label": i % 10}

    rows = {"train": range(10), "test": range(10, 14)} | {split: range(2) for split in more}
    prepare_tfds(
        tmp_path,
        name,
        version,
        lambda f: {"image": f.Image(shape=shape), "label": f.ClassLabel(num_classes=10)},
        {split: [record(i) for i in places] for split, places in rows.items()},
    )
    for split, places in rows.items():
        data = load(name, split, tmp_path)
        expected = {images[i].tobytes(): i % 10 for i in places}
        found = zip(data.images, data.labels, strict=True)
        assert {image.tobytes(): label for image, label in found} == expected
        assert data.classes == tuple("0123456789") and data.images.shape[1:] == shape
    padded = load(name, "test", tmp_path, image_size=36, channels=3)
    assert padded.images.shape == (4, 36, 36, 3)


def test_celeba(prepare_tfds, tmp_path):
    images = made(9, 218, 178)
    records = [{"image": image, "identity": {"Identity_No": 1}} for image in jpegs(images)]
    prepare_tfds(
        tmp_path,
        "celeb_a",
        "2.1.0",
        lambda f: {
            "image": f.Image(shape=(218, 178, 3), encoding_format="jpeg"),
            "identity": {"Identity_No": np.int64},
        },
        {"train": records[:4], "validation": records[4:6], "test": records[6:]},
    )
    for split, rows in (("train", range(4)), ("validation", [4, 5]), ("test", range(6, 9))):
        for name, size in (("celeba", {"image_size": 64}), ("celeba_64", {})):
            data = load(name, split, tmp_path, **size)
            assert_same_set(data.images, [decoded(images[i], pictures.celeba, 64) for i in rows])
            assert data.classes == ("unlabelled",)


@pytest.mark.parametrize(
    ("name", "builder", "size"),
    [
        ("lsun_bedroom", "lsun/bedroom", 64),
        ("bedroom_128", "lsun/bedroom", 128),
        ("church_256", "lsun/church_outdoor", 256),
    ],
)
def test_lsun_scenes(name, builder, size, prepare_tfds, tmp_path):
    images = [*made(2, 256, 300), *made(1, 280, 256)]
    records = [{"id": "x", "image": image} for image in jpegs(images)]
    prepare_tfds(
        tmp_path,
        builder,
        "3.1.0",
        lambda f: {"id": f.Text(), "image": f.Image(encoding_format="jpeg")},
        {"train": records[:2], "validation": records[2:]},
    )
    expected = [decoded(image, pictures.lsun, size) for image in images]
    for split, rows in (("train", expected[:2]), ("test", expected[2:])):  # "test": validation
        lazy, held = (
            load(name, split, tmp_path, image_size=size, ram_limit=limit) for limit in (0, 2**24)
        )
        assert_same_set(held.images, rows)
        np.testing.assert_array_equal(lazy.images[:], held.images)
        np.testing.assert_array_equal(
            next(batches(lazy, batch_size=3, seed=0))["image"],
            next(batches(held, batch_size=3, seed=0))["image"],
        )


def test_lsun_without_a_size(prepare_tfds, tmp_path):
    records = [{"id": "x", "image": i} for i in jpegs([*made(1, 20, 24), *made(1, 24, 20)])]
    prepare_tfds(
        tmp_path,
        "lsun/tower",
        "3.1.0",
        lambda f: {"id": f.Text(), "image": f.Image(encoding_format="jpeg")},
        {"train": records, "validation": records},
    )
    with pytest.raises(pictures.UnsuitableImage, match="must all have one size.*set image_size"):
        load("lsun_tower", "train", tmp_path)


def test_lsun_objects_are_split_here(prepare_tfds, tmp_path):
    images = made(10, 20, 24)
    prepare_tfds(
        tmp_path,
        "lsun/cat",
        "3.1.0",
        lambda f: {"id": f.Text(), "image": f.Image(encoding_format="jpeg")},
        {"train": [{"id": "x", "image": image} for image in jpegs(images)]},
    )
    every = load("lsun_cat", "train", tmp_path, image_size=16, test_fraction=0).images
    assert_same_set(every, [decoded(image, pictures.lsun, 16) for image in images])
    stored = np.empty_like(every)
    stored[held_out(10, "train", 0)] = every
    for split in ("train", "test"):
        data = load("lsun_cat", split, tmp_path, image_size=16, test_fraction=0.3)
        np.testing.assert_array_equal(data.images, stored[held_out(10, split, 0.3)])
    with pytest.raises(ValueError, match="split of lsun_cat 'validation'; known: train, test"):
        load("lsun_cat", "validation", tmp_path)


def test_downsampled_imagenet(prepare_tfds, tmp_path):
    images = made(5, 32, 32)
    records = [{"image": io.BytesIO(encoded(image))} for image in images]
    prepare_tfds(
        tmp_path,
        "downsampled_imagenet/32x32",
        "2.0.0",
        lambda f: {"image": f.Image(encoding_format="jpeg")},
        {"train": records[:3], "validation": records[3:]},
    )
    for split, rows in (("train", images[:3]), ("test", images[3:])):
        assert_same_set(load("imagenet_32", split, tmp_path).images, rows)


@pytest.mark.parametrize(
    ("name", "asked", "builder"),
    [
        ("lsun_tower", "lsun_tower", "lsun/tower"),
        ("celeba_64", "celeba", "celeb_a"),
        ("church_256", "lsun_church_outdoor", "lsun/church_outdoor"),
        ("imagenet_64", "imagenet_64", "downsampled_imagenet/64x64"),
    ],
)
def test_what_is_missing_names_what_prepares_it(name, asked, builder, tmp_path):
    with pytest.raises(DataNotPrepared) as caught:
        load(name, "train", tmp_path)
    message = str(caught.value)
    assert f"found no {tmp_path}/{builder}/VERSION" in message
    assert f"python -m scoresde_jax.data.prepare {asked} --data_dir {tmp_path}" in message
