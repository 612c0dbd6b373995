"""Intervals of a Frechet distance hold the truth as often as they say, and its bias is known."""

import functools
import math

import numpy as np
import pytest
from scipy import stats

from scoresde_jax.evaluation import Moments, frechet_distance, moments
from scoresde_jax.evaluation.intervals import (
    Interval,
    apart,
    bootstrap_distance,
    distance_of_sets,
    standard_error,
)

DIMS, IMAGES, TRIALS = 4, 120, 150
STANDARD = Moments(np.zeros(DIMS), np.eye(DIMS))


def draw(seed, stretch, count=IMAGES):
    """Normal features, wider than the reference by a factor; 1 for none."""
    return stretch * np.random.default_rng(seed).normal(size=(count, DIMS))


def at_infinity(stretch):
    return DIMS * (stretch - 1) ** 2


@functools.cache
def truth(stretch):
    """Mean and spread of the distance of IMAGES images; to 1.5 % of the spread."""
    found = [frechet_distance(moments(draw((9, i), stretch)), STANDARD) for i in range(4000)]
    return np.mean(found), np.std(found)


@functools.cache
def estimates(stretch):
    return [
        bootstrap_distance(draw((0, i), stretch), STANDARD, seed=i, resamples=100)
        for i in range(TRIALS)
    ]


def share(wanted, intervals):
    return np.mean([found.low <= wanted <= found.high for found in intervals])


# 1: no distance but that of noise, where a plain bootstrap is worst; 1.4: eight times that.
@pytest.mark.parametrize("stretch", [1.0, 1.4])
def test_bootstrap_intervals_hold_the_mean_at_this_many_images(stretch):
    found = share(truth(stretch)[0], [distance.interval for distance in estimates(stretch)])
    # 0.95, of 150 trials with 100 resamples each; 0.9 is nearly three standard deviations below.
    assert found >= 0.9
    widths = [d.interval.high - d.interval.low for d in estimates(stretch)]
    # 1.96 standard deviations to either side, and at 1 a third more for the logarithm. Without the
    # correction it would be more than twice that at 1.
    assert 0.85 < np.mean(widths) / (2 * 1.96 * truth(stretch)[1]) < 1.5


@pytest.mark.parametrize("stretch", [1.0, 1.4])
def test_the_bias_of_few_images_is_found(stretch):
    """It is 5 standard errors of the mean over trials at least, and little of it is left."""
    wanted = at_infinity(stretch)
    biased = np.mean([distance.interval.value for distance in estimates(stretch)]) - wanted
    unbiased = np.mean([distance.unbiased.value for distance in estimates(stretch)]) - wanted
    error = truth(stretch)[1] / math.sqrt(TRIALS)
    assert biased > 5 * error
    assert abs(unbiased) < 0.2 * biased + 3 * error
    assert share(wanted, [distance.unbiased for distance in estimates(stretch)]) >= 0.9


def test_sets_show_their_spread():
    """Student's interval of five sets holds the mean in 95 % of trials."""
    found = [
        distance_of_sets(draw((1, i), 1.4, 5 * IMAGES + 7), STANDARD, images=IMAGES)
        for i in range(TRIALS)
    ]
    assert (found[0].sets, found[0].images) == (5, IMAGES)
    assert share(truth(1.4)[0], [distance.interval for distance in found]) >= 0.9
    parts = np.split(draw((1, 0), 1.4, 5 * IMAGES + 7)[: 5 * IMAGES], 5)
    apiece = [frechet_distance(moments(part), STANDARD) for part in parts]
    half = stats.t.ppf(0.975, 4) * np.std(apiece, ddof=1) / math.sqrt(5)
    wanted = np.mean(apiece) + np.array([0, -half, half])
    np.testing.assert_allclose(found[0].interval, wanted, rtol=1e-9)


def test_standard_error_is_the_spread_of_repetitions():
    """Away from 0, in features with correlations, a shift and heavy tails."""
    rng = np.random.default_rng(0)
    mix, reference = rng.normal(size=(6, 6)), Moments(np.ones(6), np.diag(np.arange(1.0, 7)))
    samples = [(rng.exponential(size=(400, 6)) - 1) @ mix for _ in range(300)]
    found = [frechet_distance(moments(x), reference) for x in samples]
    claimed = np.mean([standard_error(x, reference) for x in samples])
    # 300 repetitions know their spread to 5 %, of heavy tails a little less.
    np.testing.assert_allclose(claimed, np.std(found), rtol=0.15)


def test_standard_error_does_not_mind_a_feature_that_never_varies():
    x = np.concatenate([draw(0, 1.4), np.full((IMAGES, 1), 3.0)], axis=1)
    wider = Moments(np.append(STANDARD.mean, 3.0), np.diag([1.0] * DIMS + [0.0]))
    np.testing.assert_allclose(
        standard_error(x, wider), standard_error(x[:, :DIMS], STANDARD), rtol=1e-9
    )


def test_the_same_seed_gives_the_same_interval():
    one, same, other = (
        bootstrap_distance(draw(0, 1.4), STANDARD, seed=seed, resamples=100) for seed in (1, 1, 2)
    )
    assert one == same and one.interval.value == other.interval.value
    assert one.interval.low != other.interval.low


def test_intervals_are_apart_or_not():
    one = Interval(2.0, 1.0, 3.0)
    for other, wanted in (((4.0, 3.1, 5.0), True), ((4.0, 2.9, 5.0), False)):
        assert apart(one, Interval(*other)) is wanted
        assert apart(Interval(*other), one) is wanted


def test_what_cannot_be_is_refused():
    wide = np.zeros((300, 2048))
    with pytest.raises(ValueError, match="bootstrap of 2048 features would take hours"):
        bootstrap_distance(wide, Moments(wide[0], np.eye(2048)), seed=0)
    with pytest.raises(ValueError, match="100 resamples or more; got 10"):
        bootstrap_distance(draw(0, 1.0), STANDARD, seed=0, resamples=10)
    with pytest.raises(ValueError, match="5 of them, 150 images; got 120"):
        distance_of_sets(draw(0, 1.0), STANDARD, images=30)
    with pytest.raises(ValueError, match="more than 4 images; got 4"):
        standard_error(draw(0, 1.0, 4), STANDARD)
