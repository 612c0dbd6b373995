"""The bias of few images is c / N with a known c, and the extrapolated distance has none of it."""

import math

import numpy as np
import pytest

from scoresde_jax.evaluation import Moments, frechet_distance, moments
from scoresde_jax.evaluation.extrapolation import extrapolated_distance

DIMS = 8
STANDARD = Moments(np.zeros(DIMS), np.eye(DIMS))
# For standard normal features the mean's error adds d / N, and the covariance's E, with
# tr(C + I - 2 C^(1/2)) = tr E^2 / 4 + ..., E tr E^2 = (d^2 + d) / N, a quarter of that.
SLOPE = DIMS + (DIMS**2 + DIMS) / 4


def draw(seed, count, mean=0.0):
    return mean + np.random.default_rng(seed).normal(size=(count, DIMS))


@pytest.mark.parametrize("count", [250, 500, 1000])
def test_bias_is_inverse_to_the_number_of_images(count):
    found = [frechet_distance(moments(draw((0, i), count)), STANDARD) for i in range(400)]
    error = np.std(found) / math.sqrt(len(found))
    # What is left out is of order d^3 / N^2: 1 % at 250 images.
    assert abs(np.mean(found) - SLOPE / count) < 4 * error + 0.01 * SLOPE / count


@pytest.mark.parametrize("mean", [0.0, 0.1])
def test_extrapolation_has_no_bias(mean):
    trials = [extrapolated_distance(draw((1, i), 800, mean), STANDARD, seed=i) for i in range(60)]
    values = [found.value for found in trials]
    error = np.std(values) / math.sqrt(len(values))
    wanted = DIMS * mean**2
    assert abs(np.mean(values) - wanted) < 4 * error
    assert SLOPE / 800 > 6 * error  # the bias of all 800 images would be seen
    np.testing.assert_allclose(np.mean([found.slope for found in trials]), SLOPE, rtol=0.1)
    if not mean:
        # Without a distance the images share no error beside the line's scatter: it is all there is
        # to within the factor that sharing images makes.
        claimed = np.mean([found.standard_error for found in trials])
        assert 0.3 < claimed / np.std(values) < 1.5


def test_the_line_is_that_of_what_is_returned():
    found = extrapolated_distance(draw(0, 400), STANDARD, seed=0)
    inverse = 1 / np.array(found.counts)
    slope, value = np.polyfit(inverse, found.distances, 1)
    np.testing.assert_allclose((found.value, found.slope), (value, slope), rtol=1e-6)
    residual = np.array(found.distances) - value - slope * inverse
    variance = np.sum(residual**2) / 13
    spread = np.sum((inverse - inverse.mean()) ** 2)
    error = math.sqrt(variance * (1 / 15 + inverse.mean() ** 2 / spread))
    np.testing.assert_allclose(found.standard_error, error, rtol=1e-6)
    assert found.counts[0] == 40 and found.counts[-1] == 400 and len(found.counts) == 15
    # All images: no subset was drawn twice from some of them.
    np.testing.assert_allclose(
        found.distances[-1], frechet_distance(moments(draw(0, 400)), STANDARD), rtol=1e-9
    )


def test_subsets_are_large_enough_for_the_law():
    assert extrapolated_distance(draw(0, 100), STANDARD, seed=0).counts[0] == 2 * DIMS
    with pytest.raises(ValueError, match="takes 32 images; got 31"):
        extrapolated_distance(draw(0, 31), STANDARD, seed=0)
