"""Images in TFRecord and array_record files: every form of record, labels, splits, mistakes."""

import numpy as np
import pytest
from made_images import (
    encoded,
    example,
    made,
    stylegan,
    write_array_record,
    write_tfrecord,
)

from scoresde_jax.data import CorruptImage, UnsuitableImage, load
from scoresde_jax.data.lazy import Lazy
from scoresde_jax.data.splits import held_out

IMAGES, GREY = made(12), made(12, channels=1)
LABELS = np.arange(12) % 3

WRITE = {"tfrecord": write_tfrecord, "array_record": write_array_record}

FORMS = {
    "pictures": lambda image, label: encoded(image),
    "picture in an Example": lambda image, label: example(image=encoded(image)),
    "as for ImageNet": lambda image, label: example(
        **{"image/encoded": encoded(image), "image/class/label": label}
    ),
    "as TFDS": lambda image, label: example(image=encoded(image), label=label, id=b"name"),
    "as StyleGAN": lambda image, label: stylegan(image),
    "raw with a label": lambda image, label: stylegan(image, label=label),
}


@pytest.mark.parametrize("kind", WRITE)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("images", [IMAGES, GREY], ids=["rgb", "grey"])
def test_forms(kind, form, images, tmp_path):
    records = [FORMS[form](*pair) for pair in zip(images, LABELS, strict=True)]
    path = WRITE[kind](tmp_path / f"x.{kind}", records)
    labelled = "label" in form or form in ("as TFDS", "as for ImageNet")
    for split in ("train", "test"):
        rows = held_out(12, split, 0.25)
        for ram_limit in (0, 2**20):
            data = load(kind, split, path=path, test_fraction=0.25, ram_limit=ram_limit)
            assert isinstance(data.images, Lazy) == (not ram_limit)
            np.testing.assert_array_equal(data.images[:], images[rows])
            np.testing.assert_array_equal(data.labels, LABELS[rows] * labelled)
            assert data.classes == (("0", "1", "2") if labelled else ("unlabelled",))
            assert data.levels == 256


def test_pcx_pictures_begin_as_examples_do(tmp_path):
    records = [encoded(image, "PCX") for image in IMAGES]
    assert records[0][:1] == example(label=1)[:1] == b"\x0a"
    path = write_tfrecord(tmp_path / "x.tfrecord", records)
    data = load("tfrecord", "train", path=path, test_fraction=0)
    np.testing.assert_array_equal(data.images, IMAGES[held_out(12, "train", 0)])


@pytest.mark.parametrize("kind", WRITE)
def test_several_files_a_folder_and_a_pattern(kind, tmp_path):
    for i in range(3):
        name = f"set.{kind}-{i:05d}-of-00003"  # also where the ending is not at the end
        WRITE[kind](tmp_path / name, [encoded(image) for image in IMAGES[4 * i : 4 * i + 4]])
    (tmp_path / "notes.txt").write_text("not meant")
    for path in (tmp_path, f"{tmp_path}/set.*-0*", tmp_path / f"*.{kind}*"):
        data = load(kind, "train", path=path, test_fraction=0)
        np.testing.assert_array_equal(data.images, IMAGES[held_out(12, "train", 0)])
    assert len(load(kind, "train", path=tmp_path / name, test_fraction=0).images) == 4


@pytest.mark.parametrize("kind", WRITE)
def test_own_split(kind, tmp_path):
    for name, rows in (("train", range(9)), ("val", range(9, 12))):
        (tmp_path / name).mkdir()
        records = [stylegan(IMAGES[i], label=LABELS[i]) for i in rows]
        WRITE[kind](tmp_path / name / f"a.{kind}", records)
    train, test = (load(kind, split, path=tmp_path) for split in ("train", "test"))
    assert (len(train.images), len(test.images)) == (9, 3)
    assert train.classes == test.classes == ("0", "1", "2")
    found = {image.tobytes(): label for image, label in zip(test.images, test.labels, strict=True)}
    assert found == {IMAGES[i].tobytes(): LABELS[i] for i in range(9, 12)}


def test_images_are_cut_to_size_as_pictures_are(tmp_path):
    """Raw pixels too: what a zip of them gives."""
    images = made(5, 11, 8)
    raw = write_tfrecord(tmp_path / "raw.tfrecord", [stylegan(image) for image in images])
    files = write_tfrecord(tmp_path / "png.tfrecord", [encoded(image) for image in images])
    for asked in ({"image_size": 4}, {"image_size": 4, "channels": 1}, {"channels": 1}):
        left, right = (
            load("tfrecord", "train", path=p, test_fraction=0, **asked) for p in (raw, files)
        )
        np.testing.assert_array_equal(left.images, right.images)
        assert left.images.shape[1:] == (
            asked.get("image_size", 11),
            asked.get("image_size", 8),
            asked.get("channels", 3),
        )


def test_sizes_that_differ(tmp_path):
    records = [stylegan(image) for image in (*made(2), *made(1, 12, 12))]
    path = write_tfrecord(tmp_path / "x.tfrecord", records)
    message = "record 2 of .* is 12 x 12 pixels with 3 channels, and 6 x 6 .*set image_size"
    with pytest.raises(UnsuitableImage, match=message):
        load("tfrecord", "train", path=path, test_fraction=0)


def test_published_names(tmp_path):
    """Both splits are all images, as in 2021; the size is the name's."""
    path = write_tfrecord(tmp_path / "ffhq-r08.tfrecords", [stylegan(i) for i in IMAGES])
    train, test = (load("ffhq_256", split, path=path, channels=3) for split in ("train", "test"))
    assert train.images.shape == (12, 256, 256, 3)
    np.testing.assert_array_equal(train.images, test.images)
    with pytest.raises(ValueError, match=r"celebahq_1024.*set path, as ffhq-r10\.tfrecords"):
        load("celebahq_1024", "train")
    with pytest.raises(ValueError, match="has 256 pixels, and image_size is 64"):
        load("ffhq_256", "train", path=path, image_size=64)


# What is wrong


BAD = [
    (b"", CorruptImage, "no picture that PIL can read"),
    (b"text", CorruptImage, "no picture"),
    (example(), UnsuitableImage, "holds nothing; expected 'image'"),
    (example(image=b"text"), CorruptImage, "no picture"),
    (example(pixels=b"abc", label=1), UnsuitableImage, "holds .*'pixels'.*expected 'image'"),
    (example(shape=[3, 2, 2], data=bytes(11)), CorruptImage, r"\(3, 2, 2\).*\[11\] bytes"),
    (example(shape=[2, 2, 3], data=bytes(12)), CorruptImage, r"\(2, 2, 3\)"),
    (example(shape=[3, -2, -2], data=bytes(12)), CorruptImage, r"\(3, -2, -2\)"),
    (example(shape=[12], data=bytes(12)), CorruptImage, r"\(12,\)"),
    (example(shape=b"3 2 2", data=bytes(12)), CorruptImage, "expected"),
    (example(shape=[3, 2, 2], data=[0] * 12), CorruptImage, "expected"),
    (example(shape=[3, 2, 2], data=[0.5] * 12), CorruptImage, "expected"),
    (example(image=[1, 2]), UnsuitableImage, "holds 'image'"),
]


@pytest.mark.parametrize(
    ("record", "error", "message"),
    BAD,
    ids=range(len(BAD)),  # protobuf may write the keys of a map in any order
)
def test_bad_records(record, error, message, tmp_path):
    path = write_tfrecord(tmp_path / "x.tfrecord", [encoded(IMAGES[0]), record])
    with pytest.raises(error, match=f"record 1 of .*x.tfrecord: .*{message}"):
        load("tfrecord", "train", path=path, test_fraction=0)
    if error is CorruptImage:
        data = load("tfrecord", "train", path=path, test_fraction=0, on_corrupt="skip")
        assert len(data.images) == 1 and len(data.skipped) == 1


def test_the_first_record_may_be_corrupt(tmp_path):
    path = write_tfrecord(tmp_path / "x.tfrecord", [b"text", *map(encoded, IMAGES)])
    data = load("tfrecord", "train", path=path, test_fraction=0, on_corrupt="skip")
    assert data.images.shape == (12, 6, 6, 3)
    only = write_tfrecord(tmp_path / "y.tfrecord", [b"text"])
    with pytest.raises(CorruptImage, match="1 of 1 images cannot be read"):
        load("tfrecord", "train", path=only, test_fraction=0, on_corrupt="skip")


def test_labels_that_are_no_numbers_are_none(tmp_path):
    records = [stylegan(image, label=b"cat") for image in IMAGES]
    path = write_tfrecord(tmp_path / "x.tfrecord", records)
    assert load("tfrecord", "train", path=path).classes == ("unlabelled",)


def test_labels_of_some_only(tmp_path):
    records = [stylegan(IMAGES[0], label=1), stylegan(IMAGES[1])]
    path = write_tfrecord(tmp_path / "x.tfrecord", records)
    with pytest.raises(ValueError, match="record 1 of .* has no label"):
        load("tfrecord", "train", path=path, test_fraction=0)


@pytest.mark.parametrize("kind", WRITE)
def test_no_such_files(kind, tmp_path):
    for path in (tmp_path, tmp_path / "nothing", tmp_path / "*.none"):
        with pytest.raises(ValueError, match="is no file, no folder with .* no pattern"):
            load(kind, "train", path=path)


@pytest.mark.parametrize("content", [b"", b"text" * 100])
def test_what_is_no_array_record_file(content, tmp_path):
    path = tmp_path / "x.array_record"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="x.array_record is no array_record file, or is damaged"):
        load("array_record", "train", path=path)


def test_array_record_that_is_damaged(tmp_path):
    """Each bit of a record's data is checked, and the error is that of a corrupt image."""
    records = [stylegan(image) for image in made(4, 32, 32)]
    path = write_array_record(tmp_path / "x.array_record", records)
    content = bytearray(path.read_bytes())
    raw = made(4, 32, 32)[2].transpose(2, 0, 1).tobytes()
    place = content.find(raw[:64])
    if place < 0:  # records are compressed; noise hardly shrinks, so this is inside some record
        place = 6000
    content[place] ^= 1
    path.write_bytes(content)
    with pytest.raises(CorruptImage, match="1 of 4 images.*\n.*its record is damaged"):
        load("array_record", "train", path=path, test_fraction=0)
