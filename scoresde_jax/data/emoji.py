"""Twemoji at 32x32x3: 3,752 distinct colour images inside the package, the shape of CIFAR-10.

An emoji and its skin-tone variants are always in the same split.  Graphics by Twitter, Inc and
other contributors, CC-BY 4.0: see emoji32.md beside this file.
"""

from importlib import resources

import numpy as np

from scoresde_jax.data.source import Dataset, check_known, dataset


def emoji(split: str) -> Dataset:
    """Loads "train" (3,410) or "test" (342): (N, 32, 32, 3) uint8, labelled by emoji category.

    Two test images are mirror images of training ones, so training with flips has seen them.
    """
    check_known("split of emoji", split, ("train", "test"))
    path = resources.files("scoresde_jax.data") / "emoji32.npz"
    with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        rows = arrays["test"] == (split == "test")
        images, labels = arrays["image"][rows], arrays["label"][rows]
        classes = arrays["categories"].tolist()
    return dataset("emoji", images, labels, levels=256, classes=classes)
