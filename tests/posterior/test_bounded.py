"""Predictions stay within the data's range, and one that does is left alone."""

from functools import partial

import jax
import numpy as np
import pytest

from posterior.problems import GAUSSIAN, IMAGE, SDES, score_fn
from scoresde_jax.posterior import bounded_score
from scoresde_jax.sampling.change import denoised

X = jax.random.normal(jax.random.key(0), (2, *IMAGE))


@pytest.mark.parametrize("sde", ["vp", "ve"])
@pytest.mark.parametrize("t", [0.05, 0.6])
def test_predictions_are_clipped(sde, t):
    sde = SDES[sde]
    score, t = score_fn(GAUSSIAN, sde), np.float32(t)
    free = np.asarray(denoised(sde, score, X, t))
    for reach in (0.1, 100.0):
        bounded = partial(bounded_score, sde, score, low=-reach, high=reach)
        found = denoised(sde, bounded, X, t)
        # float32, D found by a difference and a division by alpha, 0.05 at t = 0.6 for VP.
        np.testing.assert_allclose(found, np.clip(free, -reach, reach), atol=1e-4)
