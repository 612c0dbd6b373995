import numpy as np
import pytest

from scoresde_jax.data.splits import held_out, parts, shuffled


@pytest.mark.parametrize(("n", "fraction", "test"), [(1000, 0.1, 100), (5, 0.1, 1), (10, 0.55, 6)])
def test_parts_are_disjoint_and_together_all(n, fraction, test):
    train, rest = (held_out(n, split, fraction) for split in ("train", "test"))
    assert len(rest) == test
    assert sorted([*train, *rest]) == list(range(n))


def test_the_split_is_fixed_for_good():
    assert held_out(12, "test", 0.25).tolist() == [11, 10, 1]


def test_a_fraction_of_zero_tests_on_what_is_trained_on():
    train, test = (held_out(9, split, 0) for split in ("train", "test"))
    np.testing.assert_array_equal(train, test)
    assert sorted(train) == list(range(9))


def test_the_first_rows_are_a_fair_sample():
    """Names are sorted by class; the first images of a split are shown and scored."""
    first = held_out(10_000, "test", 0.1)[:200]
    # Uniform on 0 .. 9999: standard error of the mean 10^4 / sqrt(12 * 200).
    assert abs(first.mean() - 5000) < 4 * 10_000 / (12 * 200) ** 0.5
    assert len(np.unique(shuffled(100))) == 100


@pytest.mark.parametrize(("n", "fraction"), [(1, 0.1), (2, 0.9)])
def test_nothing_left_to_train_on(n, fraction):
    with pytest.raises(ValueError, match=f"{n} images? cannot be split.*test_fraction 0"):
        held_out(n, "train", fraction)


@pytest.mark.parametrize(
    ("names", "test"),
    [
        (["train", "test"], "test"),
        (["train", "val", "test"], "test"),
        (["train", "val"], "val"),
        (["train", "valid"], "valid"),
        (["train", "validation"], "validation"),
    ],
)
def test_own_parts(names, test):
    assert parts(names) == {"train": "train", "test": test}


@pytest.mark.parametrize("names", [[], ["train"], ["test"], ["cats", "dogs"], ["training", "test"]])
def test_no_own_parts(names):
    assert parts(names) is None
