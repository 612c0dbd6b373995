"""Random orders that never change: the one shuffle behind the splits and the epochs."""

import numpy as np


def permutation(n: int, *seed: int) -> np.ndarray:
    """Returns a permutation of 0 .. n-1, (n,) int64: the ranks of n raw 64-bit draws of PCG64.

    Raw draws, because numpy promises that a bit generator's stream never changes and makes no
    such promise for `Generator.permutation`.

    Args:
      seed: one or more integers, each 0 to 2^32 - 1, and as many in every call that should differ.
    """
    return np.argsort(np.random.PCG64(seed).random_raw(n), kind="stable")
