"""Agreement of codes: against numpy's own, image by image; white codes are sqrt(2) apart."""

import numpy as np
import pytest

from scoresde_jax.evaluation import agreement

RNG = np.random.default_rng(0)
A = RNG.normal(size=(40, 3, 2, 1))
B = 0.9 * A + 0.3 * RNG.normal(size=A.shape) + 0.1


def test_distance_and_correlation_are_what_they_say():
    found = agreement(A, B)
    a, b = A.reshape(40, 6), B.reshape(40, 6)
    np.testing.assert_allclose(found.distance, np.linalg.norm(a - b) / np.sqrt(a.size))
    expected = [np.corrcoef(a[:, i], b[:, i])[0, 1] for i in range(6)]
    np.testing.assert_allclose(found.correlation, expected, rtol=1e-10)  # float64


def test_matched_counts_the_second_ones_codes_whose_nearest_is_of_their_image():
    found = agreement(A, B).matched
    apart = np.linalg.norm(B.reshape(40, 1, 6) - A.reshape(1, 40, 6), axis=-1)
    assert found == np.mean(apart.argmin(axis=1) == np.arange(40)) and 0 < found < 1
    first, second = np.array([[0.0], [3.0]]), np.array([[0.0], [1.0]])  # 1 is nearer to 0 than to 3
    assert agreement(first, second).matched == 0.5 and agreement(second, first).matched == 1
    assert agreement(A, A)[::2] == (0, 1) and agreement(A, np.roll(A, 1, axis=0)).matched == 0


def test_white_codes_of_other_images_are_the_root_of_two_apart():
    z = RNG.normal(size=(500, 64))
    found = agreement(z, np.roll(z, 1, axis=0))
    # 32,000 squares of variance 8, of which neighbours are correlated: 5 standard errors.
    assert abs(found.distance - np.sqrt(2)) < 0.03
    assert np.abs(found.correlation).max() < 5 / np.sqrt(500)


def test_a_dimension_that_does_not_vary_has_no_correlation():
    a = A.copy()
    a[:, 0] = 2.0
    found = agreement(a, B).correlation.reshape(3, 2)
    assert (found[0] == 0).all() and (found[1:] > 0.8).all()


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(ValueError, match=r"shapes are \(40, 3, 2, 1\) and \(39, 3, 2, 1\)"):
        agreement(A, B[1:])
    with pytest.raises(ValueError, match="Two or more"):
        agreement(A[:1], B[:1])
    with pytest.raises(ValueError, match="not finite"):
        agreement(A, np.where(B > 1, np.nan, B))
