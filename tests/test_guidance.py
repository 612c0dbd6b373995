"""Guidance of a mixture of Gaussians, whose classes have exact scores, classifier and flow."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gaussian import default_sde
from mixture import APART as SHARED
from mixture import Mixture

from scoresde_jax import guidance
from scoresde_jax.sampling import decode
from scoresde_jax.sde import SubVPSDE

X = np.random.default_rng(0).normal(size=(6, 2)).astype(np.float32)
T = np.array([0.05, 0.2, 0.4, 0.6, 0.8, 1.0], np.float32)
LABELS = np.array([0, 1, 2, 0, 1, 2], np.int32)

# Arrays of its own: jax remembers in how many bits it closed over an array, and others use 64.
APART = Mixture(*(np.copy(part) for part in (SHARED.weight, SHARED.mean, SHARED.std)))


def log_probs(sde):
    """The exact classifier: which of the mixture's Gaussians x_t comes from."""
    return lambda x, t: jax.nn.log_softmax(APART._terms(sde, x, t)[0], axis=-1)


def of_class(sde, labels):
    """The exact score of each example's own class."""

    def score(x, t):
        _, mean, variance = APART._terms(sde, x, t)
        rows = jnp.arange(len(x))
        return (mean[rows, labels] - x) / variance[rows, labels][:, None]

    return score


@jax.jit
def guided(sde, x, t, scale):
    """The four scores that there are: all classes', one's, and guided in two ways towards it."""
    all_classes, own = APART.score_fn(sde), of_class(sde, LABELS)
    by_classifier = guidance.classifier(all_classes, log_probs(sde), LABELS, scale=scale)
    free = guidance.classifier_free(all_classes, own, scale=scale)
    return tuple(score(x, t) for score in (all_classes, own, by_classifier, free))


@default_sde
def test_scale_0_changes_nothing(sde):
    all_classes, _, by_classifier, free = guided(sde, X, T, 0.0)
    np.testing.assert_array_equal(by_classifier, all_classes)
    np.testing.assert_array_equal(free, all_classes)


@default_sde
def test_scale_1_is_the_score_of_the_class(sde):
    _, own, by_classifier, free = guided(sde, X, T, 1.0)
    np.testing.assert_array_equal(free, own)
    # Two terms cancel that are up to 10 times the score.
    np.testing.assert_allclose(by_classifier, own, rtol=1e-5, atol=1e-5 * np.abs(own).max())


@default_sde
def test_beyond_1_both_go_the_same_way(sde):
    all_classes, own, by_classifier, free = guided(sde, X, T, 2.5)
    np.testing.assert_allclose(by_classifier, free, rtol=1e-5, atol=3e-5 * np.abs(own).max())
    np.testing.assert_allclose(free - all_classes, 2.5 * (own - all_classes), rtol=1e-4, atol=1e-4)


def test_the_law_guided_at_scale_1_is_that_of_the_class():
    """The flow carries noise to the class's Gaussian, along the straight map between Gaussians."""
    sde, t_min, mean, std = SubVPSDE(), 1e-2, APART.mean[LABELS], APART.std[LABELS]

    @jax.jit
    def drawn(z):
        score_fn = guidance.classifier(APART.score_fn(sde), log_probs(sde), LABELS, scale=1.0)
        return decode(sde, score_fn, z, t_min=t_min, rtol=1e-5, atol=1e-5)

    z = 1.5 * X
    found = drawn(z)
    assert np.all(found.converged)

    def moments(t):
        m, s = sde.marginal(jnp.ones(6), jnp.full(6, t))
        return m[:, None] * mean, np.sqrt((m * std) ** 2 + s**2)[:, None]

    (start, wide), (end, narrow) = moments(1.0), moments(t_min)
    # rtol and atol of the solve are of a step; there are about 20.
    np.testing.assert_allclose(found.x, end + narrow / wide * (z - start), atol=2e-4)
    apart = np.linalg.norm(np.asarray(found.x)[:, None] - APART.mean, axis=-1)
    np.testing.assert_array_equal(np.argmin(apart / APART.std, axis=1), LABELS)


def test_autoguidance_leaves_the_weaker_model_behind():
    good, weak = (lambda x, t: 2 * x + t), (lambda x, t: x)
    at = lambda scale: guidance.autoguidance(good, weak, scale=scale)(3.0, 0.5)  # noqa: E731
    assert (at(0.0), at(1.0), at(3.0)) == (3.0, 6.5, 3.0 + 3 * 3.5)


LOW, HIGH = np.float32(0.2), np.float32(0.5)
BELOW, ABOVE = np.nextafter(LOW, np.float32(0)), np.nextafter(HIGH, np.float32(1))


@pytest.mark.parametrize(
    ("t", "inside"),
    [
        (np.array([0.05, BELOW, LOW, HIGH, ABOVE, 1.0], np.float32), [0, 0, 1, 1, 0, 0]),
        (LOW, 1),
        (ABOVE, 0),
    ],
    ids=["each", "all inside", "all outside"],
)
def test_outside_of_the_interval_nothing_changes(t, inside):
    limited = guidance.within((0.2, 0.5), lambda x, t: 7 * x, lambda x, t: x)(X, jnp.asarray(t))
    inside = np.broadcast_to(np.array(inside, bool), 6)
    np.testing.assert_array_equal(limited, np.where(inside[:, None], 7 * X, X))


@pytest.mark.parametrize("interval", [(0.5, 0.2), (-0.1, 0.5), (0.5, 1.1), (0.3,), (0.0, np.nan)])
def test_an_interval_that_is_none(interval):
    with pytest.raises(ValueError, match=r"interval is \(.*; expected two times, 0 <= first"):
        guidance.within(interval, None, None)


def test_classes():
    np.testing.assert_array_equal(guidance.class_labels(None, 3, 7), [0, 1, 2, 0, 1, 2, 0])
    np.testing.assert_array_equal(guidance.class_labels(2, 3, 2), [2, 2])


@pytest.mark.parametrize("label", [-1, 3])
def test_a_class_that_is_none(label):
    with pytest.raises(ValueError, match=rf"label is {label}; there are 3 classes, 0 to 2"):
        guidance.class_labels(label, 3, 5)
