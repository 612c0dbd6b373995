"""Precision and recall are the shares that plain loops find, in blocks of any size."""

import math

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from scoresde_jax.evaluation import precision_recall


def clouds(seed, centres, count, dims=3):
    rng = np.random.default_rng(seed)
    return np.concatenate([c + rng.normal(size=(count, dims)) for c in centres])


def plainly(real, generated, k):
    """By the definition, from the whole matrix of distances."""

    def share(points, region):
        radius = np.sort(cdist(region, region), axis=1)[:, k]  # column 0 is the point itself
        return np.mean(np.any(cdist(points, region) <= radius, axis=1))

    return share(generated, real), share(real, generated)


@pytest.mark.parametrize("block", [1, 16, 50, 1000])
@pytest.mark.parametrize("k", [1, 3])
def test_equals_the_definition(block, k):
    real, generated = clouds(0, [0.0], 60), clouds(1, [0.7], 45)
    found = precision_recall(real, generated, k=k, block=block)
    wanted = plainly(real, generated, k)
    assert 0.1 < min(wanted) and max(wanted) < 0.95  # the case says something
    assert (found.precision.value, found.recall.value) == wanted


def test_far_from_the_origin_in_float32():
    real, generated = (clouds(seed, [0.0], 40) for seed in (0, 1))
    moved = [(1000 + x).astype(np.float32) for x in (real, generated)]
    found = precision_recall(*moved)
    wanted = plainly(*(x.astype(np.float64) for x in moved), 3)
    assert (found.precision.value, found.recall.value) == wanted


def test_a_lost_mode_costs_recall_and_an_invented_one_precision():
    lost = precision_recall(clouds(0, [0.0, 50.0], 200), clouds(1, [0.0], 400))
    assert lost.precision.value > 0.9 and 0.4 < lost.recall.value <= 0.5
    invented = precision_recall(clouds(0, [0.0], 400), clouds(1, [0.0, 50.0], 200))
    assert 0.4 < invented.precision.value <= 0.5 and invented.recall.value > 0.9
    share = invented.precision
    wanted = math.sqrt(share.value * (1 - share.value) / 400)
    np.testing.assert_allclose(share.standard_error, wanted)


def test_a_set_is_in_its_own_region_and_not_in_one_far_away():
    x = clouds(0, [0.0], 50)
    assert precision_recall(x, x)[:2] == ((1.0, 0.0), (1.0, 0.0))
    assert precision_recall(x, x + 100)[:2] == ((0.0, 0.0), (0.0, 0.0))


def test_what_cannot_be_is_refused():
    x = clouds(0, [0.0], 10)
    with pytest.raises(ValueError, match="got 3 and 2 of them"):
        precision_recall(x, x[:, :2])
    with pytest.raises(ValueError, match="more than 3 images of each kind; got 10 real and 3"):
        precision_recall(x, x[:3])
