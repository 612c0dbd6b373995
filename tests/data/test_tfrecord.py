"""TFRecord files written by tensorboardX, and what damage does to them."""

import gzip

import numpy as np
import pytest
from made_images import write_tfrecord

from scoresde_jax.data.pictures import CorruptImage
from scoresde_jax.data.tfrecord import tfrecords

RECORDS = [b"", b"x", bytes(100), np.random.default_rng(0).bytes(5000)]


@pytest.fixture
def path(tmp_path):
    return write_tfrecord(tmp_path / "a.tfrecord", RECORDS)


def test_records_are_read_by_number(path, tmp_path):
    other = write_tfrecord(tmp_path / "b.tfrecord", [b"first", b"second"])
    store = tfrecords((path, other))
    assert len(store) == 6
    everything = [*RECORDS, b"first", b"second"]
    for place in (5, 0, 3, 4, 2, 1):
        assert store.read(place) == everything[place]
    assert store.name(3) == f"record 3 of {path}" and store.name(5) == f"record 1 of {other}"


def test_what_tensorboard_writes_is_read(tmp_path):
    """Event files are TFRecord files."""
    from tensorboardX import SummaryWriter

    writer = SummaryWriter(str(tmp_path))
    writer.add_scalar("loss", 1.0, 1)
    writer.close()
    (events,) = tmp_path.glob("events*")
    store = tfrecords((events,))
    assert any(b"loss" in store.read(i) for i in range(len(store)))


def damage(path, place):
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


START = 16 * 3 + 1 + 100  # of the record of 5000 bytes


@pytest.mark.parametrize("place", [START, START + 7, START + 8, START + 11])
def test_a_damaged_length_is_found_at_once(path, place):
    damage(path, place)
    with pytest.raises(ValueError, match="record 3 at byte 149: the length does not match"):
        tfrecords((path,))


@pytest.mark.parametrize("place", [START + 12, START + 5011, START + 5012, START + 5015])
def test_damaged_data_are_found_when_they_are_read(path, place):
    damage(path, place)
    store = tfrecords((path,))
    assert [store.read(i) for i in range(3)] == RECORDS[:3]
    with pytest.raises(CorruptImage, match="do not match their checksum"):
        store.read(3)


@pytest.mark.parametrize("size", [START + 3, START + 12, START + 5015])
def test_a_file_that_is_cut_off(path, size):
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(ValueError, match="record 3 at byte 149: the file is cut off"):
        tfrecords((path,))


def test_a_file_that_shrinks_later(path):
    store = tfrecords((path,))
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CorruptImage, match="checksum"):
        store.read(3)


def test_what_is_no_tfrecord_file(tmp_path):
    path = tmp_path / "x.tfrecord"
    for content, message in (
        (b"", "is empty"),
        (gzip.compress(b"records"), "compressed by gzip; unpack it"),
        (b"some text that is longer than a header", "this is no TFRecord file"),
    ):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=message):
            tfrecords((path,))


def test_a_record_that_claims_too_much(path, monkeypatch):
    monkeypatch.setattr("scoresde_jax.data.tfrecord.MAX_BYTES", 4999)
    with pytest.raises(ValueError, match="record 3 at byte 149 has 5000 bytes; at most 4999"):
        tfrecords((path,))
