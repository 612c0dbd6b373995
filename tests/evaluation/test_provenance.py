"""Provenances survive JSON, and what may not be compared is named."""

import dataclasses
import json

import pytest

from scoresde_jax.evaluation.provenance import (
    Provenance,
    check_comparable,
    check_same_features,
)

MODEL = Provenance(
    extractor="inception",
    extractor_hash="6726825d",
    resize="tf1-bilinear-299",
    rounding="nearest",
    images=50_000,
    source="model",
    reference="cifar10/train",
    reference_images=50_000,
    sampler="pc",
    settings={"steps": 1000, "snr": 0.16},
    nfe=2000.0,
    step=600_000,
    ema=True,
    seed=0,
    guidance={"method": "classifier", "scale": 1.0},
)
# Another value of every field.
OTHER = {
    "extractor": "digits",
    "extractor_hash": "00000000",
    "resize": "none",
    "rounding": "floor",
    "images": 10_000,
    "source": "cifar10/test",
    "reference": "cifar10/test",
    "reference_images": 10_000,
    "sampler": "ode",
    "settings": {"steps": 999},
    "nfe": 140.0,
    "step": 1,
    "ema": False,
    "seed": 1,
    "guidance": None,
}
MUST_AGREE = {
    "extractor_hash",
    "resize",
    "rounding",
    "reference",
    "reference_images",
    "images",
    "guidance",
}


def test_json_and_back():
    assert set(OTHER) == {field.name for field in dataclasses.fields(Provenance)}
    text = json.dumps(MODEL.to_json(), allow_nan=False)
    assert Provenance.from_json(json.loads(text)) == MODEL


@pytest.mark.parametrize("value", [[1], {"extractor": "a"}, MODEL.to_json() | {"more": 1}, None])
def test_what_is_no_provenance(value):
    with pytest.raises(ValueError, match="a provenance has the keys"):
        Provenance.from_json(value)


@pytest.mark.parametrize("name", OTHER)
def test_each_setting_matters_or_is_what_is_compared(name):
    other = dataclasses.replace(MODEL, **{name: OTHER[name]})
    if name not in MUST_AGREE:
        check_comparable(MODEL, other)
        return
    with pytest.raises(ValueError, match=f"not comparable: {name}: ") as caught:
        check_comparable(MODEL, other)
    assert repr(getattr(MODEL, name)) in str(caught.value) and repr(OTHER[name]) in str(
        caught.value
    )


def test_numbers_of_images_matter_to_biased_metrics_alone():
    fewer = dataclasses.replace(MODEL, images=5_000)
    check_comparable(MODEL, fewer, biased=False)
    with pytest.raises(ValueError, match="images: 50000 and 5000"):
        check_comparable(MODEL, fewer)


def test_what_is_compared_may_differ():
    other = dataclasses.replace(MODEL, guidance={"method": "classifier", "scale": 2.0})
    check_comparable(MODEL, other, varied=("guidance",))
    with pytest.raises(ValueError, match="guidance: .*'scale': 1.0.* and .*'scale': 2.0"):
        check_comparable(MODEL, other)
    with pytest.raises(ValueError, match="not comparable: rounding: "):
        check_comparable(MODEL, dataclasses.replace(other, rounding="floor"), varied=("guidance",))


def test_a_provenance_from_before_guidance_is_of_none():
    old = {name: value for name, value in MODEL.to_json().items() if name != "guidance"}
    assert Provenance.from_json(old).guidance is None


def test_all_differences_are_named_at_once():
    other = dataclasses.replace(MODEL, rounding="floor", resize="none")
    with pytest.raises(ValueError, match="resize: .*; rounding: "):
        check_comparable(MODEL, other)


def test_statistics_need_the_same_features_and_nothing_else():
    data = Provenance("inception", "6726825d", "tf1-bilinear-299", "exact", 1000, "cifar10/train")
    check_same_features(MODEL, data)
    for name in ("extractor_hash", "resize"):
        with pytest.raises(ValueError, match=f"not the same numbers: {name}: "):
            check_same_features(MODEL, dataclasses.replace(data, **{name: OTHER[name]}))
