"""The classifier of digits learns, is reproducible, and comes back from its file."""

import pathlib
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from scoresde_jax import data
from scoresde_jax.evaluation import digit_features
from scoresde_jax.evaluation.provenance import parameter_hash
from scoresde_jax.models.classifier import SmallClassifier

EPOCHS = 25
STEPS = EPOCHS * 15


def optimizer(steps):
    return optax.adam(optax.cosine_decay_schedule(3e-3, steps))


def train(seed, epochs, **options):
    train_set = data.load("digits", "train")
    classifier = SmallClassifier(channels=options.pop("channels", 16))
    images, labels = np.asarray(train_set.images), train_set.labels
    steps = epochs * (len(images) // 100)
    params = digit_features.train(
        seed,
        images,
        labels,
        classifier=classifier,
        levels=17,
        optimizer=optimizer(steps),
        epochs=epochs,
        **options,
    )
    return classifier, params


def test_learns_digits_it_has_not_seen():
    """97 % of the test set; half the width of --mode features, and fewer epochs."""
    test_set, steps = data.load("digits", "test"), []
    classifier, params = train(0, EPOCHS, progress=steps.append)
    options = {"classifier": classifier, "levels": 17}
    found = digit_features.accuracy(params, test_set.images, test_set.labels, **options)
    assert found >= 0.97
    assert steps == list(range(1, STEPS + 1))


def test_the_same_seed_trains_the_same_classifier():
    hashes = [parameter_hash(train(s, 1, channels=2)[1]) for s in (0, 0, 1)]
    assert hashes[0] == hashes[1] != hashes[2]


def test_too_few_images_for_a_batch():
    with pytest.raises(ValueError, match="a batch is 2000 images, and there are 1500"):
        train(0, 1, batch_size=2000)


def test_cross_entropy_is_that_of_the_label():
    p = np.array([[0.5, 0.25, 0.25], [0.1, 0.2, 0.7]])
    found = digit_features.cross_entropy(jnp.log(p) + 5, jnp.array([0, 1]))
    np.testing.assert_allclose(found, [np.log(2), np.log(5)], rtol=1e-5)


def test_shifts_are_all_of_up_to_a_pixel():
    """A lit pixel inside the image lands on each of nine places about as often."""
    x = np.zeros((900, 5, 5, 1), np.float32)
    x[:, 2, 2] = 1
    found = np.asarray(jax.jit(digit_features.shifted)(jax.random.key(0), x))
    np.testing.assert_array_equal(found.sum(axis=(1, 2, 3)), 1)
    counts = found.sum(axis=(0, 3))
    assert counts[1:4, 1:4].sum() == 900
    assert 60 < counts[1:4, 1:4].min() and counts.max() < 140  # 100 +- 10 each


def test_borders_are_continued():
    """A black frame around the digit would be a new kind of image."""
    x = np.ones((20, 4, 4, 1), np.float32)
    np.testing.assert_array_equal(digit_features.shifted(jax.random.key(0), x), x)


def test_levels_are_centred():
    found = digit_features.centred(np.array([0, 8, 16], np.uint8), levels=17)
    np.testing.assert_array_equal(found, [-1, 0, 1])


def test_comes_back_from_its_file(tmp_path):
    classifier = SmallClassifier(classes=3, channels=2, features=5)
    params = classifier.init(jax.random.key(0), jnp.zeros((1, 8, 8, 1)))["params"]
    digit_features.write(tmp_path / "f.npz", params, levels=17)
    found, read, levels = digit_features.read(tmp_path / "f.npz")
    assert (found, levels) == (classifier, 17)
    assert parameter_hash(read) == parameter_hash(params)
    jax.tree.map(np.testing.assert_array_equal, read, params)


class Hostile:
    """Unpickled, it makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return pathlib.Path.touch, (self.path,)


def test_other_files_are_refused(tmp_path):
    owned = tmp_path / "owned"
    contents = {
        "pickle": {"levels": np.array([Hostile(owned)], dtype=object)},
        "other": {"mu": np.zeros(3)},
        "half": {"levels": np.asarray(17), "logits/bias": np.zeros(3)},
    }
    for name, arrays in contents.items():
        path = tmp_path / f"{name}.npz"
        np.savez(path, **arrays)
        with pytest.raises(ValueError, match=f"{re.escape(str(path))} is no classifier of --mode"):
            digit_features.read(path)
    np.save(tmp_path / "one.npy", np.zeros(3))
    one = (tmp_path / "one.npy").read_bytes()
    digit_features.write(path, {"logits": {"kernel": np.zeros((5, 3))}}, levels=17)
    whole = path.read_bytes()
    flipped = (whole[:i] + bytes([whole[i] ^ 0xFF]) + whole[i + 1 :] for i in range(len(whole)))
    for content in (b"PK broken", b"", one, whole, *flipped):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="is no classifier"):
            digit_features.read(path)
    assert not owned.exists()


def test_accuracy_is_the_same_in_blocks(monkeypatch):
    """The last block is filled up; what fills it does not count."""
    classifier = SmallClassifier(classes=3, channels=2, features=5)
    images = np.random.default_rng(0).integers(0, 17, (20, 8, 8, 1), np.uint8)
    params = classifier.init(jax.random.key(0), jnp.zeros((1, 8, 8, 1)))["params"]
    _, logits = digit_features.outputs(
        classifier, params, digit_features.centred(images, levels=17)
    )
    labels = np.argmax(np.asarray(logits), axis=1)
    labels[[0, 1, 2, 7, 11]] += 1  # wrong; the last image, which fills up, is right
    for block in (6, 10, 1000):
        monkeypatch.setattr(digit_features, "BLOCK", block)
        options = {"classifier": classifier, "levels": 17}
        assert digit_features.accuracy(params, images, labels, **options) == 0.75
