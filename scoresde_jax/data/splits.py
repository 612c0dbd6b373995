"""Which images are for training and which for testing, where a source does not say.

A source that has parts named "train" and "test" (or "validation", "valid", "val") keeps them. Of
any other a fixed permutation puts the last tenth aside: `held_out`. It depends on the number of
images alone, so the same images are split alike from a folder, a zip or an array; adding one image
changes the split. Rows come in the order of the permutation: the first ones are a fair sample.
"""

from collections.abc import Collection

import numpy as np

from scoresde_jax.data.order import permutation

SPLIT_SEED = 2021  # the year of the paper, as for digits; fixed for good
TEST_NAMES = ("test", "validation", "valid", "val")


def held_out(n: int, split: str, test_fraction: float) -> np.ndarray:
    """Returns the rows of "train" or "test" of n images; (M,) int64.

    Args:
      test_fraction: of the images, rounded, at least one. 0 tests on the images trained on.

    Raises:
      ValueError: nothing would be left to train on.
    """
    order = shuffled(n)
    if not test_fraction:
        return order
    test = max(1, round(n * test_fraction))
    if test >= n:
        raise ValueError(
            f"{n} image{'s' * (n != 1)} cannot be split into training and test sets with "
            f"test_fraction {test_fraction:g}; give more images, or test_fraction 0 to test on "
            "those trained on."
        )
    return order[: n - test] if split == "train" else order[n - test :]


def shuffled(n: int) -> np.ndarray:
    """Returns 0 .. n-1 in the fixed order that splits are cut from; (n,) int64."""
    return permutation(n, SPLIT_SEED)


def parts(names: Collection[str]) -> dict[str, str] | None:
    """Returns which of the names is the source's own "train" and which its "test", or None."""
    test = next((name for name in TEST_NAMES if name in names), None)
    return {"train": "train", "test": test} if "train" in names and test else None
