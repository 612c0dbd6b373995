import numpy as np
import pytest
from made_images import example

from scoresde_jax.data import examples
from scoresde_jax.data.examples import NoExample


def features(record):
    """All that a record holds."""
    return {name: examples.values(value) for name, value in examples.features(record).items()}


EXAMPLE = {
    "image": b"\x00\xffbytes",
    "label": [7],
    "shape": [3, 64, 2**40, -1],
    "weights": [0.5, -1.25, 3.0],
}


def test_what_protobuf_writes_is_read():
    found = features(example(**EXAMPLE))
    assert found.keys() == EXAMPLE.keys()
    assert [bytes(part) for part in found["image"]] == [EXAMPLE["image"]]
    for name in ("label", "shape"):
        assert found[name].dtype == np.int64 and found[name].tolist() == EXAMPLE[name]
    assert found["weights"].dtype == np.float32 and found["weights"].tolist() == EXAMPLE["weights"]


def test_numbers_that_are_not_packed_are_read():
    """As some writers store them: a tag before each. Int64List inside Feature inside an entry."""
    numbers = b"\x08\x05\x08\x96\x01"
    feature = b"\x1a" + bytes([len(numbers)]) + numbers
    entry = b"\x0a\x01n\x12" + bytes([len(feature)]) + feature
    group = b"\x0a" + bytes([len(entry)]) + entry
    assert features(b"\x0a" + bytes([len(group)]) + group)["n"].tolist() == [5, 150]


def test_an_example_without_features_is_empty():
    assert features(b"") == {} and features(example()) == {}


def test_every_cut_is_noticed_or_harmless():
    """Never another exception, never more than was there."""
    whole = example(**EXAMPLE)
    for size in range(len(whole)):
        try:
            assert set(features(whole[:size])) <= set(EXAMPLE)
        except NoExample:
            continue
        assert size == 0  # the outermost length is checked


def test_random_bytes_are_refused_or_are_in_the_record():
    """Never another exception, and nothing that was not there."""
    rng, whole, refused = np.random.default_rng(0), example(**EXAMPLE), 0
    for _ in range(500):
        data = bytearray(whole)
        for place in rng.integers(0, len(data), 3):
            data[place] = rng.integers(256)
        try:
            found = features(bytes(data))
        except NoExample:
            refused += 1
            continue
        for name, part in found.items():
            assert name.encode() in data
            assert not isinstance(part, list) or all(bytes(piece) in data for piece in part)
    assert 100 < refused < 500  # most changes hit a length or a tag, some only values


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x12\x00", "field 2"),
        (b"\x08\x01", "is a number"),
        (b"\x0b", "type 3"),
        (b"\x0a" + b"\xff" * 10, "longer than 64 bits"),
        (b"\x0a\x05abc", "cut off"),
    ],
)
def test_what_is_wrong_is_said(data, message):
    with pytest.raises(NoExample, match=message):
        features(data)
