"""Asked in any order and as often as one likes, it is one Brownian motion."""

import jax
import numpy as np

from sampling.chosen import fast
from scoresde_jax.sampling.brownian import brownian

TIMES = np.float32([0.0, 1e-5, 0.03, 0.3, 0.31, 0.5, 0.77, 1.0])
DRAWS = 20_000


@fast
def paths(keys, times):
    """(keys, times, 2)."""
    return jax.vmap(lambda key: jax.vmap(lambda t: brownian(key, t, (2,)))(times))(keys)


def draw(times):
    return np.asarray(paths(jax.random.split(jax.random.key(0), DRAWS // 2), times))


def test_increments_are_independent_and_have_the_variance_of_the_time_between():
    x = draw(TIMES)
    assert np.all(x[:, 0] == 0)
    steps = np.diff(x, axis=1) / np.sqrt(np.diff(TIMES))[:, None]
    # 5 standard errors, of 1/141 for a mean, and sqrt(2) and sqrt(96) times that for the powers.
    pooled = np.concatenate([steps[..., 0], steps[..., 1]])
    np.testing.assert_allclose(pooled.mean(axis=0), 0, atol=5 / 141)
    np.testing.assert_allclose(pooled.T @ pooled / DRAWS, np.eye(7), atol=5 * 2**0.5 / 141)
    np.testing.assert_allclose(np.mean(pooled**4, axis=0), 3, atol=5 * 96**0.5 / 141)
    # And one number knows nothing of the other.
    across = np.mean(steps[..., 0] * steps[..., 1], axis=0)
    np.testing.assert_allclose(across, 0, atol=5 / 100)


def test_the_path_does_not_depend_on_the_order_of_asking():
    order = [5, 2, 7, 0, 1, 4, 6, 3]
    np.testing.assert_allclose(draw(TIMES[order]), draw(TIMES)[:, order], atol=1e-6)
