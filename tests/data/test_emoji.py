import hashlib
from importlib import resources

import numpy as np
import pytest

from scoresde_jax.data.emoji import emoji

FILE = resources.files("scoresde_jax.data") / "emoji32.npz"


@pytest.fixture(scope="module")
def stored():
    with FILE.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        return dict(arrays)


def digest(images):
    return hashlib.sha256(images.tobytes()).hexdigest()[:16]


def test_the_images_are_the_ones_that_published_numbers_were_made_with(stored):
    assert digest(stored["image"]) == "24d923ef0c9f9adf"
    assert digest(emoji("train").images) == "52d201b30e30b3d1"
    assert digest(emoji("test").images) == "06f9a8b6895db4ce"


def test_splits_do_not_leak(stored):
    train, test = emoji("train"), emoji("test")
    assert (len(train.images), len(test.images)) == (3410, 342)
    distinct = {image.tobytes() for data in (train, test) for image in data.images}
    assert len(distinct) == 3752  # no image twice, within a split or across
    groups = stored["group"]
    assert not {*groups[stored["test"]]} & {*groups[~stored["test"]]}


def test_at_most_the_two_documented_test_images_are_mirrored_training_images():
    mirrored = {image.tobytes() for image in emoji("train").images[:, :, ::-1]}
    assert sum(image.tobytes() in mirrored for image in emoji("test").images) == 2


def test_images_and_labels_belong_together(stored):
    """Each emoji keeps its category through the split."""
    both = [emoji(split) for split in ("train", "test")]
    label = {
        image.tobytes(): data.classes[label]
        for data in both
        for image, label in zip(data.images, data.labels, strict=True)
    }
    named = dict(zip(stored["name"].tolist(), stored["image"], strict=True))
    assert label[named["flag-ad"].tobytes()] == "Flags"
    assert label[named["avocado"].tobytes()] == "Food & Drink"
    for data in both:
        assert data.images.shape[1:] == (32, 32, 3)
        assert (data.levels, data.images.min(), data.images.max()) == (256, 0, 255)
        assert len(data.classes) == 10


def test_file_is_small_and_carries_its_attribution():
    assert len(FILE.read_bytes()) < 3e6
    note = (resources.files("scoresde_jax.data") / "emoji32.md").read_text()
    for part in (
        "Twitter, Inc",
        "https://creativecommons.org/licenses/by/4.0/",
        "emoji-datasource-twitter",
    ):
        assert part in note
