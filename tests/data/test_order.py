import numpy as np
import pytest

from scoresde_jax.data.order import permutation


def test_orders_never_change():
    """Splits and resumed runs rest on these very numbers; no version of numpy may alter them."""
    assert permutation(8, 2021).tolist() == [5, 6, 3, 7, 2, 4, 0, 1]
    assert permutation(8, 0, 1).tolist() == [7, 4, 5, 1, 6, 2, 0, 3]


@pytest.mark.parametrize("n", [1, 2, 23, 1797])
def test_orders_are_permutations(n):
    np.testing.assert_array_equal(np.sort(permutation(n, 3)), np.arange(n))


def test_seeds_and_their_order_matter():
    seeds = [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (0, 2)]
    assert len({tuple(permutation(23, *seed)) for seed in seeds}) == len(seeds)


def test_every_place_is_equally_likely():
    """Element i comes to place j with probability 1/8: chi-square, 49 degrees of freedom."""
    orders = np.stack([permutation(8, 7, epoch) for epoch in range(8000)])
    counts = np.stack([np.bincount(orders[:, place], minlength=8) for place in range(8)])
    # 7/8, for the counts of an order exclude each other by row and by column.
    chi2 = 7 / 8 * ((counts - 1000) ** 2 / 1000).sum()
    assert 15 < chi2 < 111  # the 1e-6 quantiles on both sides
