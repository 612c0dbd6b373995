"""Arrays of images: what keys mean, levels and numbers, what does not fit into RAM."""

import pickle
import zlib

import numpy as np
import pytest
from made_images import encoded, made

from scoresde_jax.data import UnsuitableImage, load
from scoresde_jax.data.arrays import plain_array
from scoresde_jax.data.lazy import Lazy
from scoresde_jax.data.splits import held_out, shuffled

IMAGES, LABELS = made(20), np.arange(20) % 4
FLOATS = np.random.default_rng(0).random((20, 5, 4, 1))


def arrays(path, split="train", **arguments):
    return load("arrays", split, path=path, **({"test_fraction": 0} | arguments))


def npz(tmp_path, **members):
    np.savez(tmp_path / "x.npz", **members)
    return tmp_path / "x.npz"


def npy(tmp_path, array):
    np.save(tmp_path / "x.npy", array)
    return tmp_path / "x.npy"


@pytest.mark.parametrize("key", ["images", "image", "samples", "x", "arr_0"])
def test_images_by_any_name(key, tmp_path):
    for split in ("train", "test"):
        data = arrays(npz(tmp_path, **{key: IMAGES}), split, test_fraction=0.25)
        np.testing.assert_array_equal(data.images, IMAGES[held_out(20, split, 0.25)])
        assert (data.levels, data.classes) == (256, ("unlabelled",))


@pytest.mark.parametrize("key", ["labels", "label", "y"])
@pytest.mark.parametrize("shape", [(20,), (20, 1)])
def test_labels_and_classes(key, shape, tmp_path):
    members = {"images": IMAGES, key: LABELS.reshape(shape)}
    data = arrays(npz(tmp_path, **members))
    np.testing.assert_array_equal(data.labels, LABELS[held_out(20, "train", 0)])
    assert data.classes == ("0", "1", "2", "3")
    named = arrays(npz(tmp_path, **members, classes=np.array(["a", "b", "c", "d"])))
    assert named.classes == ("a", "b", "c", "d")


@pytest.mark.parametrize(
    "names",
    [
        ("train_images", "test_images", "train_labels", "test_labels"),  # MedMNIST
        ("train_images", "val_images", "train_labels", "val_labels"),
        ("x_train", "x_test", "y_train", "y_test"),  # Keras
    ],
)
def test_own_split(names, tmp_path):
    members = (IMAGES[:14], IMAGES[14:], LABELS[:14], LABELS[14:])
    path = npz(tmp_path, **dict(zip(names, members, strict=True)))
    for split, images, labels in zip(("train", "test"), members[:2], members[2:], strict=True):
        data = arrays(path, split)
        order = shuffled(len(images))
        np.testing.assert_array_equal(data.images, images[order])
        np.testing.assert_array_equal(data.labels, labels[order])


def test_classes_are_those_of_both_parts(tmp_path):
    """A network that knows classes must not lose some where it is tested."""
    members = {"x_train": IMAGES[:14], "y_train": LABELS[:14], "x_test": IMAGES[14:]}
    for labels in (np.arange(6) % 2, np.arange(6) + 4):
        path = npz(tmp_path, **members, y_test=labels)
        expected = tuple(map(str, range(max(LABELS.max(), labels.max()) + 1)))
        assert arrays(path).classes == arrays(path, "test").classes == expected
    assert arrays(npz(tmp_path, **members)).classes == ("0", "1", "2", "3")


def test_levels_are_stated(tmp_path):
    few = IMAGES % 17
    assert arrays(npz(tmp_path, images=few, levels=17)).levels == 17
    with pytest.raises(ValueError, match="levels=17 and a largest pixel of"):
        arrays(npz(tmp_path, images=IMAGES, levels=17))
    with pytest.raises(ValueError, match="images of 17 levels are not resized"):
        arrays(npz(tmp_path, images=few, levels=17), image_size=3)


def test_grey_without_a_channel(tmp_path):
    grey = IMAGES[..., 0]
    order = held_out(20, "train", 0)
    for path in (npz(tmp_path, images=grey), npy(tmp_path, grey)):
        np.testing.assert_array_equal(arrays(path).images, grey[order][..., None])
        rgb = arrays(path, channels=3).images
        np.testing.assert_array_equal(rgb, grey[order][..., None].repeat(3, axis=3))


def test_resizing_is_that_of_pictures(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    images = made(5, 13, 9)
    for i, image in enumerate(images):
        (folder / f"{i}.png").write_bytes(encoded(image))
    pictures = load("folder", "train", path=folder, image_size=4, test_fraction=0)
    for path in (npz(tmp_path, images=images), npy(tmp_path, images)):
        np.testing.assert_array_equal(arrays(path, image_size=4).images, pictures.images)


@pytest.mark.parametrize("images", [IMAGES, FLOATS.astype(np.float32)], ids=["levels", "floats"])
def test_npy_need_not_fit_into_ram(images, tmp_path):
    path = npy(tmp_path, images)
    lazy, held = arrays(path, ram_limit=100), arrays(path)
    assert isinstance(lazy.images, Lazy) and isinstance(held.images, np.ndarray)
    assert lazy.images.dtype == held.images.dtype == images.dtype
    np.testing.assert_array_equal(lazy.images[:], held.images)
    copy = pickle.loads(pickle.dumps(lazy.images))
    assert len(pickle.dumps(lazy.images)) < 2000  # the path, not the pixels
    np.testing.assert_array_equal(copy[[3, 1]], held.images[[3, 1]])


# Continuous data


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_floats_are_continuous(dtype, tmp_path):
    path = npz(tmp_path, images=FLOATS.astype(dtype))
    data = arrays(path)
    assert data.levels is None and data.images.dtype == np.float32 and data.bounds == (0, 1)
    expected = FLOATS.astype(dtype)[held_out(20, "train", 0)].astype(np.float32)
    np.testing.assert_array_equal(data.images, expected)


def test_floats_are_scaled_by_their_bounds(tmp_path):
    own = FLOATS * 6 - 5
    data = arrays(npz(tmp_path, images=own, bounds=[-5, 1]))
    assert data.bounds == (-5.0, 1.0)
    expected = FLOATS[held_out(20, "train", 0)]
    np.testing.assert_allclose(data.images, expected, atol=1e-7)  # float32
    ends = arrays(
        npz(tmp_path, images=np.array([-5.0, 1.0]).repeat(4).reshape(2, 2, 2), bounds=[-5, 1])
    )
    assert {0.0, 1.0} == set(ends.images.ravel().tolist())


@pytest.mark.parametrize("ram_limit", [0, 2**20], ids=["lazy", "in RAM"])
@pytest.mark.parametrize("value", [-0.1, 1.1, np.nan, np.inf])
def test_floats_out_of_bounds(value, ram_limit, tmp_path):
    wrong = FLOATS.astype(np.float32)
    wrong[7, 2, 1] = value
    path = npy(tmp_path, wrong)
    with pytest.raises(UnsuitableImage, match=r"row 7 of .*outside 0 to 1; state the range"):
        arrays(path, ram_limit=ram_limit).images[:]


def test_floats_are_not_resized(tmp_path):
    message = "floats are not resized; they are 4 x 5 pixels with 1 channel, .* 4 x 4 pixels"
    with pytest.raises(ValueError, match=message):
        arrays(npy(tmp_path, FLOATS), image_size=4)
    with pytest.raises(ValueError, match="with 3 channels"):
        arrays(npy(tmp_path, FLOATS), channels=3)


@pytest.mark.parametrize("bounds", [[1, 0], [0, 0], [0, np.inf], [0, 1, 2], [np.nan, 1]])
def test_bounds_that_are_none(bounds, tmp_path):
    with pytest.raises(ValueError, match="'bounds' must be the lowest and the highest"):
        arrays(npz(tmp_path, images=FLOATS, bounds=bounds))


# What is wrong


@pytest.mark.parametrize(
    "images",
    [
        IMAGES.astype(np.int64),
        IMAGES.astype(np.uint16),
        IMAGES > 9,
        IMAGES.reshape(20, -1),
        IMAGES.transpose(0, 3, 1, 2),
        np.array(["a", "b"]),
        IMAGES + 1j,
    ],
    ids=["int64", "uint16", "bool", "flat", "channels first", "text", "complex"],
)
def test_images_of_another_kind(images, tmp_path):
    with pytest.raises(ValueError, match=r"images must be uint8 or floats.*got"):
        arrays(npz(tmp_path, images=images))


def test_other_keys_are_listed(tmp_path):
    with pytest.raises(ValueError, match="holds weights, bias; expected an array named 'images'"):
        arrays(npz(tmp_path, weights=IMAGES, bias=LABELS))


@pytest.mark.parametrize("labels", [LABELS[:3], LABELS / 2, LABELS.reshape(2, 10)])
def test_labels_of_another_kind(labels, tmp_path):
    with pytest.raises(ValueError, match="'labels' must be 20 integers"):
        arrays(npz(tmp_path, images=IMAGES, labels=labels))


def test_objects_for_labels_or_classes(tmp_path):
    for key in ("labels", "classes", "levels", "bounds"):
        path = npz(tmp_path, images=IMAGES, **{key: np.array([1] * 20, dtype=object)})
        with pytest.raises(ValueError, match=rf"x\.npz: '{key}' cannot be read: .*Pickled"):
            arrays(path)


@pytest.mark.parametrize("levels", [[16, 3], 1, 257, 2.5, "many"])
def test_levels_that_are_none(levels, tmp_path):
    path = npz(tmp_path, images=IMAGES % 2, levels=levels)
    for read in (arrays, plain_array):
        with pytest.raises(ValueError, match=r"x\.npz: 'levels' must be the number of grey levels"):
            read(path)


def test_npz_must_fit_into_ram(tmp_path):
    with pytest.raises(
        ValueError, match=r"takes \d+ bytes, and ram_limit is 100; .*save .* as .npy"
    ):
        arrays(npz(tmp_path, images=IMAGES), ram_limit=100)


class Bomb:
    """Says when it is unpickled."""

    def __reduce__(self):
        return (exec, ("raise SystemExit('unpickled')",))


def test_pickles_are_refused(tmp_path):
    bomb = np.array([Bomb()], dtype=object)
    for path in (npz(tmp_path, images=bomb), npy(tmp_path, bomb)):
        with pytest.raises(ValueError, match="Pickled objects are refused"):
            arrays(path)
    raw = tmp_path / "raw.npy"
    raw.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(ValueError, match="no .npy or .npz file.*Pickled objects are refused"):
        arrays(raw)


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04", b"\x93NUMPY"])
def test_what_is_no_array_file(content, tmp_path):
    path = tmp_path / "x.npz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"x\.npz is no \.npy or \.npz file"):
        arrays(path)
    with pytest.raises(ValueError, match="nowhere is no file"):
        arrays(tmp_path / "nowhere")


def test_files_that_are_cut_off_or_damaged(tmp_path):
    whole = npy(tmp_path, IMAGES)
    cut = tmp_path / "cut.npy"
    cut.write_bytes(whole.read_bytes()[:-10])
    with pytest.raises(ValueError, match="damaged"):
        arrays(cut)
    path = npz(tmp_path, images=IMAGES)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match="'images' cannot be read"):
        arrays(path)


def test_whatever_byte_is_damaged_the_file_is_named(tmp_path):
    """Damage of packed data shows as zlib.error, not as a wrong checksum."""
    path = tmp_path / "x.npz"
    np.savez_compressed(path, images=IMAGES[:2], labels=LABELS[:2])
    whole, packed = path.read_bytes(), 0
    for place in range(0, len(whole), 5):
        damaged = bytearray(whole)
        damaged[place] ^= 0xFF
        path.write_bytes(damaged)
        try:
            arrays(path)
        except ValueError as error:
            assert "x.npz" in str(error)
            packed += isinstance(error.__cause__, zlib.error)
    assert packed
