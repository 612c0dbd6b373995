"""Asked in any order and as often as one likes, it is one Brownian motion."""

import jax
import numpy as np

from sampling.chosen import fast
from scoresde_jax.sampling.brownian import brownian

TIMES = np.float32([0.0, 1e-5, 0.03, 0.3, 0.31, 0.5, 0.77, 1.0])


@fast
def paths(keys, times):
    return jax.vmap(lambda key: jax.vmap(lambda t: brownian(key, t, (1,))[0])(times))(keys)


def test_increments_are_independent_and_have_the_variance_of_the_time_between():
    x = np.asarray(paths(jax.random.split(jax.random.key(0), 20_000), TIMES))
    assert np.all(x[:, 0] == 0)
    steps = np.diff(x, axis=1) / np.sqrt(np.diff(TIMES))
    # 5 standard errors of 20 000 draws, 1/141 for a mean, sqrt(2) and sqrt(96) of it for powers.
    np.testing.assert_allclose(steps.mean(axis=0), 0, atol=5 / 141)
    np.testing.assert_allclose(steps.T @ steps / len(x), np.eye(7), atol=5 * 2**0.5 / 141)
    np.testing.assert_allclose(np.mean(steps**4, axis=0), 3, atol=5 * 96**0.5 / 141)  # Gaussian


def test_the_path_does_not_depend_on_what_is_asked():
    key = jax.random.split(jax.random.key(1), 1)
    together = paths(key, TIMES)[0]
    for i in (3, 1, 6):
        alone = paths(key, TIMES[i : i + 1])[0, 0]
        np.testing.assert_allclose(alone, together[i], atol=1e-6)  # in another vector lane


def test_every_number_has_a_path_of_its_own():
    x = fast(lambda key, t: brownian(key, t, (50, 40)))(jax.random.key(2), 0.4)
    assert x.shape == (50, 40) and abs(np.std(np.asarray(x)) / 0.4**0.5 - 1) < 0.1
    assert len(np.unique(np.asarray(x))) > 1990
