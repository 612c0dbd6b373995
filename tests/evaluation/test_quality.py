"""Results hold every number that the features allow, and no number where they do not fit."""

import dataclasses
import json

import numpy as np
import pytest

from scoresde_jax.evaluation import frechet_distance, kernel_distance, moments, precision_recall
from scoresde_jax.evaluation.intervals import standard_error
from scoresde_jax.evaluation.provenance import Provenance
from scoresde_jax.evaluation.quality import quality
from scoresde_jax.evaluation.statistics_files import Statistics

PROVENANCE = Provenance("digits", "abc", "none", "nearest", 200, "model", "digits/train", 300)
DATA = Provenance("digits", "abc", "none", "exact", 300, "digits/train")


def features(seed, count, dims, mean=0.0):
    return mean + np.random.default_rng(seed).normal(size=(count, dims))


def test_all_numbers_are_those_of_their_functions():
    pool, real = features(0, 200, 6, mean=0.2), features(1, 300, 6)
    logits = features(2, 200, 4)
    reference = Statistics(moments(real), real, None, DATA)
    found = quality(pool, logits, reference, PROVENANCE, seed=0)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    frechet = found["frechet_distance"]
    assert frechet["value"] == frechet_distance(moments(pool), reference.moments)
    assert frechet["low"] < frechet["value"] < frechet["high"]
    assert frechet["unbiased"]["value"] < frechet["value"]
    assert (frechet["images"], frechet["features"]) == (200, 6)
    kernel = kernel_distance(pool, real, seed=0)
    assert found["kernel_distance"] == kernel._asdict()
    assert found["precision"]["value"] == precision_recall(real, pool).precision.value
    assert found["recall"]["value"] == precision_recall(real, pool).recall.value
    assert 1 < found["inception_score"]["mean"] < 4
    assert Provenance.from_json(found["provenance"]) == PROVENANCE


def test_moments_alone_allow_the_frechet_distance_alone():
    pool = features(0, 200, 6)
    reference = Statistics(moments(features(1, 300, 6)))  # a file of others: no provenance
    found = quality(pool, None, reference, PROVENANCE, seed=0)
    missing = ("kernel_distance", "precision", "recall", "inception_score")
    assert all(found[name] is None for name in missing)


def test_many_features_have_the_linearised_interval():
    dims = 260
    reference = Statistics(moments(features(1, 600, dims)))
    few, some, many = (
        quality(features(0, count, dims), None, reference, PROVENANCE, seed=0)["frechet_distance"]
        for count in (250, 300, 1040)
    )
    assert few["low"] is few["unbiased"] is some["unbiased"] is None
    error = standard_error(features(0, 1040, dims), reference.moments)
    np.testing.assert_allclose(many["high"] - many["value"], 1.96 * error, rtol=1e-4)
    assert many["method"] == some["method"] == "linearised"
    # The bias of 1,040 images is most of the distance here.
    assert many["unbiased"]["value"] < 0.8 * many["value"]
    assert many["unbiased"]["high"] - many["unbiased"]["low"] >= many["high"] - many["low"]


def test_a_reference_of_another_extractor_is_refused():
    other = dataclasses.replace(DATA, extractor_hash="def")
    reference = Statistics(moments(features(1, 300, 6)), provenance=other)
    with pytest.raises(ValueError, match="extractor_hash: 'abc' and 'def'"):
        quality(features(0, 200, 6), None, reference, PROVENANCE, seed=0)
    with pytest.raises(ValueError, match="of 5 and of 6 features"):
        quality(features(0, 200, 5), None, Statistics(reference.moments), PROVENANCE, seed=0)
