"""`python -m benchmarks.intervals`, with few trials."""

import numpy as np
import pytest

from benchmarks import intervals


def test_features_are_as_far_as_they_say():
    for case in intervals.CASES:
        features = case._replace(images=100_000).draw(0)
        # 100,000 draws know a mean to 0.003, and a standard deviation to 0.005 or better.
        np.testing.assert_allclose(features.mean(0), case.shift, atol=0.02)
        np.testing.assert_allclose(features.std(0), case.stretch, atol=0.03)
    assert intervals.Case(4, 60, 1.5, 0.5).distance == 4 * (0.25 + 0.25)


def test_a_row_for_each_case(capsys, monkeypatch):
    monkeypatch.setattr(intervals, "CASES", intervals.CASES[:2])
    assert intervals.main(["--trials", "100", "--resamples", "100"]) == 0
    rows = capsys.readouterr().out.splitlines()[2:]
    assert [row.split("|")[2].strip() for row in rows] == ["60", "60"]
    # At no distance there is nothing over the bias; at 1.4 it is 2.6 by the second order of c.
    assert [float(row.split("|")[3]) for row in rows] == pytest.approx([0, 2.6], abs=0.2)
    # It is 0.9 or more, and 100 trials know that to 0.03: four of those.
    held, plain = ([float(row.split("|")[column]) for row in rows] for column in (4, 5))
    assert all(0.78 < share <= 1 for share in held)
    assert plain[0] < 0.86  # 0.66, and as far: at no distance resamples are too far away
