"""The error of a distance is the spread that draws of new features show."""

import numpy as np

from scoresde_jax.evaluation import Moments, intervals
from scoresde_jax.evaluation.frechet_errors import frechet_with_errors


def test_the_error_of_an_extrapolated_distance_is_its_spread(monkeypatch):
    """Far from 0; the line's own error is half of it."""
    monkeypatch.setattr(intervals, "MAX_DIMS", 0)  # no bootstrap
    real = Moments(np.zeros(4), np.eye(4))
    draws = [np.random.default_rng(i).normal(1, 1.4, size=(200, 4)) for i in range(100)]
    found = [frechet_with_errors(features, real, i) for i, features in enumerate(draws)]
    values, errors = (
        [one["extrapolated"][name] for one in found] for name in ("mean", "standard_error")
    )
    # 100 repetitions know their spread to 7 %.
    np.testing.assert_allclose(np.mean(errors), np.std(values), rtol=0.25)
    assert all(one["extrapolated"]["standard_error"] >= one["standard_error"] for one in found)
