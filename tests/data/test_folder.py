"""Folders and zips of pictures: what is found, what it is called, what goes wrong."""

import os
import zipfile

import numpy as np
import pytest
from made_images import encoded, made, write_folder, write_zip
from PIL import Image

from scoresde_jax.data import CorruptImage, UnsuitableImage, load
from scoresde_jax.data.folder import arranged
from scoresde_jax.data.lazy import Lazy
from scoresde_jax.data.splits import held_out

IMAGES = made(20)


def folder(path, split="train", **arguments):
    return load("folder", split, path=path, **arguments)


def assert_same(left, right):
    np.testing.assert_array_equal(left.images[:], right.images[:])
    np.testing.assert_array_equal(left.labels, right.labels)
    assert left.classes == right.classes


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """Twenty pictures without classes.  Read only."""
    return write_folder(tmp_path_factory.mktemp("plain"), IMAGES)


@pytest.mark.parametrize("split", ["train", "test"])
def test_pictures_in_the_order_of_the_split(plain, split):
    data = folder(plain, split)
    np.testing.assert_array_equal(data.images, IMAGES[held_out(20, split, 0.1)])
    assert (data.levels, data.classes, data.skipped) == (256, ("unlabelled",), ())
    assert data.name == str(plain) and not data.labels.any()


def test_zip_is_as_the_folder(plain, tmp_path):
    packed = write_zip(tmp_path / "images.zip", plain)
    for split in ("train", "test"):
        assert_same(folder(packed, split), folder(plain, split))
    assert sorted(os.listdir(tmp_path)) == ["images.zip"]  # nothing was extracted


def test_folders_are_classes(tmp_path):
    write_folder(tmp_path / "b", IMAGES[:12])
    write_folder(tmp_path / "a" / "deeper", IMAGES[12:])
    data = folder(tmp_path, test_fraction=0)
    assert data.classes == ("a", "b")
    for image, label in zip(data.images, data.labels, strict=True):
        assert (image == IMAGES[12:]).all((1, 2, 3)).any() == (label == 0)


@pytest.mark.parametrize("test", ["test", "val", "validation"])
def test_own_split(tmp_path, test):
    for name, images in (("train", IMAGES[:15]), (test, IMAGES[15:])):
        write_folder(tmp_path / name / "cat", images[::2])
        write_folder(tmp_path / name / "dog", images[1::2])
    train, rest = folder(tmp_path), folder(tmp_path, "test")
    assert (len(train.images), len(rest.images)) == (15, 5)
    assert train.classes == rest.classes == ("cat", "dog")
    for data, images in ((train, IMAGES[:15]), (rest, IMAGES[15:])):
        place = [int((image == images).all((1, 2, 3)).argmax()) for image in data.images]
        assert sorted(place) == list(range(len(images))) != place  # shuffled
        np.testing.assert_array_equal(data.labels, np.array(place) % 2)
    assert_same(folder(write_zip(tmp_path / "z.zip", tmp_path)), train)


@pytest.mark.parametrize(
    ("names", "classes", "own_split"),
    [
        (["a.png", "b.png"], ("unlabelled",), False),
        (["cats/a.png", "cats/b.png"], ("cats",), False),  # one class
        (["top/cats/a.png", "top/dogs/b.png"], ("cats", "dogs"), False),
        (["top/train/a.png", "top/test/b.png"], ("unlabelled",), True),
        (["train/a.png", "test/b.png", "extra/c.png"], ("extra", "test", "train"), False),
        (["train/a.png", "test/b.png", "c.png"], ("unlabelled",), False),
        (["train/x/a.png", "test/b.png"], ("unlabelled",), True),
        (["train/x/a.png", "test/y/b.png"], ("x", "y"), True),
        (["cats/a.png", "b.png"], ("unlabelled",), False),
    ],
)
def test_what_names_mean(names, classes, own_split):
    found = arranged(tuple(names), test_fraction=0)
    assert found.classes == classes
    assert (found.train.tolist() != found.test.tolist()) == own_split


def test_other_and_hidden_files_are_passed_over(tmp_path):
    write_folder(tmp_path / "set", IMAGES[:4])
    for name in ("README.txt", ".hidden.png", "__MACOSX/000.png", ".git/1.png", "labels.json"):
        path = tmp_path / "set" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"no picture")
    (tmp_path / "set" / "LOUD.PNG").write_bytes(encoded(IMAGES[4]))
    assert len(folder(tmp_path / "set", test_fraction=0).images) == 5
    packed = write_zip(tmp_path / "set.zip", tmp_path / "set")
    assert len(folder(packed, test_fraction=0).images) == 5


def test_links_are_followed_once(tmp_path):
    write_folder(tmp_path / "elsewhere", IMAGES[:4])
    top = tmp_path / "set"
    top.mkdir()
    (top / "cats").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "loop").symlink_to(top)
    assert len(folder(top, test_fraction=0).images) == 4


# Sizes and channels


def test_sizes_that_differ_are_named_without_a_size(tmp_path):
    write_folder(tmp_path, made(3, 8, 8))
    write_folder(tmp_path, made(2, 9, 7), name="wide{}.png")
    message = r"000\.png has 8 x 8 pixels and .*wide0\.png has 7 x 9; .*set image_size"
    with pytest.raises(UnsuitableImage, match=message):
        folder(tmp_path)
    assert folder(tmp_path, image_size=4, test_fraction=0).images.shape == (5, 4, 4, 3)


def test_pictures_turned_by_exif_have_one_size(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    write_folder(tmp_path, made(1, 8, 4))
    turned = Image.fromarray(made(1, 4, 8)[0])
    (tmp_path / "turned.jpg").write_bytes(encoded(turned, "JPEG", exif=exif))
    assert folder(tmp_path, test_fraction=0).images.shape == (2, 8, 4, 3)


def test_grey_and_colour_together_are_colour_unless_asked(tmp_path):
    write_folder(tmp_path, made(2, channels=1))
    assert folder(tmp_path, test_fraction=0).images.shape[3] == 1
    write_folder(tmp_path, made(2), name="colour{}.png")
    assert folder(tmp_path, test_fraction=0).images.shape[3] == 3
    assert folder(tmp_path, test_fraction=0, channels=1).images.shape == (4, 6, 6, 1)
    small = folder(tmp_path, test_fraction=0, image_size=3, channels=3)
    assert small.images.shape == (4, 3, 3, 3)


# Lazy


def test_lazy_images_are_those_in_ram(plain, tmp_path):
    packed = write_zip(tmp_path / "images.zip", plain)
    for path in (plain, packed):
        lazy, held = folder(path, ram_limit=0), folder(path)
        assert isinstance(lazy.images, Lazy) and isinstance(held.images, np.ndarray)
        assert lazy.images.shape == held.images.shape and lazy.images.dtype == held.images.dtype
        assert_same(lazy, held)
    exact = folder(plain, ram_limit=18 * 6 * 6 * 3)
    assert isinstance(exact.images, np.ndarray)


# What is wrong


@pytest.fixture
def damaged(plain, tmp_path):
    """Twenty pictures, of which 003, 005 and 011 cannot be read."""
    write_folder(tmp_path / "set", IMAGES)
    for number, content in ((3, b""), (5, encoded(IMAGES[5])[:60]), (11, b"text")):
        (tmp_path / "set" / f"{number:03d}.png").write_bytes(content)
    return tmp_path / "set"


def test_corrupt_pictures_are_named_and_counted(damaged):
    with pytest.raises(CorruptImage) as caught:
        folder(damaged, test_fraction=0)
    message = str(caught.value)
    assert "3 of 20 images cannot be read" in message and "on_corrupt 'skip'" in message
    for number in ("003", "005", "011"):
        assert f"{damaged}/{number}.png: " in message


@pytest.mark.parametrize("ram_limit", [0, 2**20], ids=["lazy", "in RAM"])
@pytest.mark.parametrize("size", [{}, {"image_size": 6, "channels": 3}], ids=["any", "asked"])
def test_corrupt_pictures_are_left_out_on_request(damaged, ram_limit, size):
    data = folder(damaged, test_fraction=0, on_corrupt="skip", ram_limit=ram_limit, **size)
    order = held_out(20, "train", 0)
    kept = order[~np.isin(order, [3, 5, 11])]  # the split of the others is as it was
    np.testing.assert_array_equal(data.images[:], IMAGES[kept])
    assert len(data.labels) == 17 and len(data.skipped) == 3
    assert {"003", "005", "011"} == {where.split(".png: ")[0][-3:] for where in data.skipped}


def test_links_to_nowhere_are_corrupt_pictures(tmp_path):
    write_folder(tmp_path, made(5))
    (tmp_path / "005.png").symlink_to(tmp_path / "moved.png")
    arguments = {"test_fraction": 0, "channels": 3, "image_size": 6}
    with pytest.raises(CorruptImage, match=r"1 of 6 .*\n.*005\.png: it cannot be read \(No such"):
        folder(tmp_path, **arguments)
    data = folder(tmp_path, on_corrupt="skip", **arguments)
    assert len(data.images) == 5 and len(data.skipped) == 1
    with pytest.raises(CorruptImage, match=r"005\.png: it cannot be read"):
        folder(tmp_path, ram_limit=0, **arguments).images[:]


def test_many_corrupt_pictures_are_not_all_listed(tmp_path):
    for i in range(9):
        (tmp_path / f"{i}.png").write_bytes(b"text")
    with pytest.raises(CorruptImage, match=r"9 of 9 images(.|\n)*and 4 more"):
        folder(tmp_path, test_fraction=0)
    with pytest.raises(CorruptImage, match="9 of 9 images"):  # nothing would be left
        folder(tmp_path, test_fraction=0, on_corrupt="skip")


def test_lazy_corrupt_pictures_are_named_when_they_are_met(damaged):
    data = folder(damaged, test_fraction=0, ram_limit=0)
    row = int(np.flatnonzero(held_out(20, "train", 0) == 5)[0])
    with pytest.raises(CorruptImage, match=r"005\.png: it cannot be decoded"):
        data.images[row]
    with pytest.raises(CorruptImage, match=r"0(03|05|11)\.png: "):
        data.images[:]


def test_sixteen_bits_are_refused_and_never_skipped(tmp_path):
    write_folder(tmp_path, IMAGES[:2])
    wide = Image.fromarray(np.full((6, 6), 40_000, np.uint16))
    (tmp_path / "wide.png").write_bytes(encoded(wide))
    for asked in ({}, {"image_size": 6, "channels": 3}):
        with pytest.raises(UnsuitableImage, match=r"wide\.png: it has more than 8 bits"):
            folder(tmp_path, test_fraction=0, on_corrupt="skip", **asked)


def test_no_pictures(tmp_path):
    with pytest.raises(ValueError, match=f"{tmp_path} holds no pictures"):
        folder(tmp_path)
    (tmp_path / "a.txt").write_text("a")
    with pytest.raises(ValueError, match=r"among its 1 files is a\.txt"):
        folder(tmp_path)
    with pytest.raises(ValueError, match="neither a folder nor a zip file"):
        folder(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"a\.txt is no zip file"):
        folder(tmp_path / "a.txt")


def test_zip_that_is_damaged(plain, tmp_path):
    path = write_zip(tmp_path / "z.zip", plain)
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        member = archive.getinfo("007.png")
    for place in range(40, 60):  # after the member's own header of 30 + 7 bytes
        content[member.header_offset + place] ^= 255
    path.write_bytes(content)
    with pytest.raises(
        CorruptImage, match=r"1 of 20 images(.|\n)*z\.zip/007\.png: its packed data"
    ):
        folder(path, test_fraction=0)
    data = folder(path, test_fraction=0, on_corrupt="skip")
    assert len(data.images) == 19 and len(data.skipped) == 1
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match="no zip file, or is damaged"):
        folder(path)


def test_zip_bombs_and_passwords(tmp_path, monkeypatch):
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.png", bytes(10**6))
    monkeypatch.setattr("scoresde_jax.data.stores.MAX_BYTES", 10**6 - 1)
    with pytest.raises(CorruptImage, match="unpacks to 1000000 bytes"):
        folder(path, test_fraction=0)
    content = bytearray(path.read_bytes())
    for mark, flag in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):  # say that it is encrypted
        content[content.index(mark) + flag] |= 1
    path.write_bytes(content)
    monkeypatch.undo()
    with pytest.raises(CorruptImage, match="cannot be unpacked.*password"):
        folder(path, test_fraction=0)
