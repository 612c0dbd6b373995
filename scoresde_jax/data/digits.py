"""scikit-learn's handwritten digits: 1,797 images of 8x8x1 in 17 grey levels; needs no download.

It is the test part of the UCI set "Optical Recognition of Handwritten Digits".  The split is ours,
1,500 to train and 297 to test, and is fixed for good: any change makes old numbers incomparable.
"""

import numpy as np

from scoresde_jax.data.order import permutation
from scoresde_jax.data.source import Dataset, check_known, dataset

TRAIN_SIZE = 1500
SPLIT_SEED = 2021  # the year of the paper; the first and only one tried


def digits(split: str) -> Dataset:
    """Loads "train" (1,500) or "test" (297): (N, 8, 8, 1) uint8 in 0 .. 16."""
    check_known("split of digits", split, ("train", "test"))
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)  # (N, 64) whole numbers stored as floats
    order = permutation(len(labels), SPLIT_SEED)
    rows = order[:TRAIN_SIZE] if split == "train" else order[TRAIN_SIZE:]
    images = pixels[rows].reshape(-1, 8, 8, 1).astype(np.uint8)
    return dataset("digits", images, labels[rows], levels=17, classes="0123456789")
