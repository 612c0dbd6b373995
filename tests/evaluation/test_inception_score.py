"""The Inception Score has its closed forms."""

import numpy as np
import pytest

from scoresde_jax.evaluation import inception_score


def sure(labels, classes):
    """Logits of a classifier without doubt."""
    return 1e3 * np.eye(classes)[labels]


def test_of_sure_and_varied_images_is_the_number_of_classes():
    found = inception_score(sure(np.arange(600) % 7, 7)[: 7 * 80], splits=10)
    np.testing.assert_allclose(found.mean, 7, rtol=1e-9)
    np.testing.assert_allclose(found.standard_deviation, 0, atol=1e-9)


def test_of_one_class_and_of_no_opinion_is_one():
    for logits in (sure(np.zeros(50, int), 7), np.zeros((50, 7))):
        np.testing.assert_allclose(inception_score(logits, splits=5).mean, 1, rtol=1e-12)


def test_of_two_opinions():
    """Half the images have (a, 1 - a), half (1 - a, a): log IS = log 2 - entropy of a."""
    a = 0.9
    logits = np.log(np.tile([[a, 1 - a], [1 - a, a]], (20, 1)))
    entropy = -a * np.log(a) - (1 - a) * np.log(1 - a)
    found = inception_score(logits, splits=2)
    np.testing.assert_allclose(found.mean, 2 * np.exp(-entropy), rtol=1e-12)


def test_logits_are_meant_up_to_a_constant_of_each_image():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(60, 5))
    moved = logits + 1e4 * rng.normal(size=(60, 1))
    np.testing.assert_allclose(inception_score(logits), inception_score(moved), rtol=1e-8)


def test_splits_are_scored_each_for_itself():
    logits = np.concatenate([sure(np.arange(12) % 2, 4), sure(np.arange(12) % 4, 4)])
    found = inception_score(logits, splits=2)
    np.testing.assert_allclose(found[:2], (3, 1), rtol=1e-9)  # of scores 2 and 4


def test_fewer_images_score_less():
    logits = 3 * np.random.default_rng(0).normal(size=(6000, 50))
    few, many = (inception_score(logits[:n], splits=10).mean for n in (200, 6000))
    assert few < many


def test_too_few_images():
    with pytest.raises(ValueError, match="10 splits needs as many images; got 9"):
        inception_score(np.zeros((9, 5)))
