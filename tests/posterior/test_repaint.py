"""RePaint's schedule, its known pixels, and what its resampling does for the others."""

import jax
import numpy as np
import pytest

from posterior.problems import GAUSSIAN, IMAGE, SDES, score_fn
from scoresde_jax.posterior import repaint_sample
from scoresde_jax.posterior.operators import half_mask, matrix_of
from scoresde_jax.posterior.repaint import schedule

MASK = half_mask(IMAGE)
VP = SDES["vp"]
DRAWS = 512
TRUTH = GAUSSIAN.draw(0, 1).reshape(IMAGE).astype(np.float32)
Y = MASK.forward(np.broadcast_to(TRUTH, (DRAWS, *IMAGE)))


def walk(t_top, length, times):
    """The levels as the authors' code lists them, one at a time; -1 is the data."""
    jumps = dict.fromkeys(range(0, t_top - length, length), times - 1)
    t, ts = t_top, [t_top]
    while t >= 1:
        t -= 1
        ts.append(t)
        if jumps.get(t, 0) > 0:
            jumps[t] -= 1
            for _ in range(length):
                t += 1
                ts.append(t)
    return [*ts, -1]


@pytest.mark.parametrize("numbers", [(250, 10, 10), (23, 5, 3), (10, 10, 4), (8, 1, 2), (7, 2, 1)])
def test_schedule(numbers):
    starts, ends = schedule(*numbers)
    ts = np.array(walk(*numbers))
    falls = np.flatnonzero(np.diff(ts) < 0)
    np.testing.assert_array_equal(starts, numbers[0] - ts[falls])
    # Where each run of steps up ends, the next step down starts.
    np.testing.assert_array_equal(ends[:-1], starts[1:])
    assert ends[-1] == numbers[0] + 1


def draws(**options):
    return jax.jit(
        lambda y: repaint_sample(
            jax.random.key(0),
            VP,
            score_fn(GAUSSIAN, VP),
            MASK,
            y,
            (DRAWS, *IMAGE),
            noise_std=0.0,
            steps=50,
            t_min=1e-3,
            **options,
        )
    )(Y)


def errors(x):
    """Of the mean, in units of the posterior's spread, and of the covariance, relative."""
    exact = GAUSSIAN.posterior(matrix_of(MASK, IMAGE), np.asarray(Y[0]), 0.0)
    mean, covariance = exact.moments()
    x = np.asarray(x, np.float64).reshape(DRAWS, -1)
    spread = np.sqrt(np.trace(covariance))
    off = np.linalg.norm(np.cov(x.T) - covariance) / np.linalg.norm(covariance)
    return np.linalg.norm(x.mean(axis=0) - mean) / spread, off


def test_known_pixels_are_exact_and_resampling_mends_the_others():
    once = draws(jump_length=5, resamplings=1)
    often = draws(jump_length=5, resamplings=8)
    for found in (once, often):
        np.testing.assert_array_equal(MASK.forward(found.x), Y)
    assert np.all(once.nfe == 51) and np.all(often.nfe == len(schedule(50, 5, 8)[0]))
    # Exact draws are 0.04 and 0.15 off in mean and covariance. Once down is 0.44 off in the mean,
    # 8 times 0.19, 30 times 0.10: resampling converges, and slowly.
    assert errors(often.x)[0] < 0.25 < 0.38 < errors(once.x)[0]
    assert errors(often.x)[1] < 0.25
