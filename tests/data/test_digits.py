import hashlib

import numpy as np
from sklearn.datasets import load_digits

from scoresde_jax.data.digits import digits


def test_the_split_is_the_one_that_published_numbers_were_made_with():
    for split, expected in (("train", "93ede4276b6511c8"), ("test", "379c5902d01a6ba1")):
        data = digits(split)
        content = data.images.tobytes() + data.labels.astype("<i4").tobytes()
        assert hashlib.sha256(content).hexdigest()[:16] == expected


def test_splits_are_disjoint_and_together_are_scikit_learns_digits():
    raw = load_digits()
    train, test = digits("train"), digits("test")
    assert (len(train.images), len(test.images)) == (1500, 297)

    def rows(images, labels):
        return [(image.tobytes(), int(label)) for image, label in zip(images, labels, strict=True)]

    ours = rows(train.images, train.labels), rows(test.images, test.labels)
    assert not {image for image, _ in ours[0]} & {image for image, _ in ours[1]}
    assert sorted(ours[0] + ours[1]) == sorted(rows(raw.images.astype(np.uint8), raw.target))


def test_levels_and_classes():
    for split in ("train", "test"):
        data = digits(split)
        assert data.images.shape[1:] == (8, 8, 1)
        assert (data.levels, data.images.min(), data.images.max()) == (17, 0, 16)
        assert data.classes == tuple("0123456789")
        # Neither split is short of a digit: 1/10 each, give or take 4 standard errors.
        share = np.bincount(data.labels, minlength=10) / len(data.labels)
        assert np.abs(share - 0.1).max() < 4 * (0.09 / len(data.labels)) ** 0.5
