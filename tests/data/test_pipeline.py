import itertools
import json
import multiprocessing
import os
import signal

import numpy as np
import pytest
from made_images import made, write_folder

from scoresde_jax.data import CorruptImage, load
from scoresde_jax.data.pipeline import batch_at, batches, eval_batches
from scoresde_jax.data.source import dataset


def numbered(n):
    """A data set whose images and labels tell their row."""
    images = np.broadcast_to(np.arange(n, dtype=np.uint8)[:, None, None, None], (n, 2, 3, 1))
    return dataset("numbered", images, np.arange(n), levels=256, classes=map(str, range(n)))


DATA = numbered(23)


def take(iterator, count):
    return list(itertools.islice(iterator, count))


def indices(iterator, count):
    return np.concatenate([batch["index"] for batch in take(iterator, count)])


def assert_same(left, right):
    assert left.keys() == right.keys()
    for name in left:
        np.testing.assert_array_equal(left[name], right[name])
        assert left[name].dtype == right[name].dtype


def test_image_label_and_index_belong_together():
    for batch in take(batches(DATA, batch_size=5, seed=0), 10):
        assert batch["image"].shape == (5, 2, 3, 1) and batch["image"].dtype == np.uint8
        assert batch["label"].dtype == batch["index"].dtype == np.int32
        np.testing.assert_array_equal(batch["image"], DATA.images[batch["index"]])
        np.testing.assert_array_equal(batch["label"], batch["index"])


@pytest.mark.parametrize("batch_size", [1, 5, 23, 64])
def test_each_epoch_is_a_new_permutation(batch_size):
    """Also where batches straddle epochs, or hold several."""
    count = -(-4 * 23 // batch_size)
    epochs = indices(batches(DATA, batch_size=batch_size, seed=1), count)[: 4 * 23].reshape(4, 23)
    np.testing.assert_array_equal(np.sort(epochs), np.tile(np.arange(23), (4, 1)))
    assert len({tuple(epoch) for epoch in (*epochs, range(23))}) == 5


def test_batch_k_depends_on_its_arguments_only():
    read = take(batches(DATA, batch_size=5, seed=2), 41)
    for k in (39, 4, 0, 17):  # batch 4 straddles the first two epochs
        assert_same(read[k], batch_at(DATA, k, batch_size=5, seed=2))
        assert_same(read[k], next(batches(DATA, batch_size=5, seed=2, start=k)))
    jumper = batches(DATA, batch_size=5, seed=2)
    for k in (39, 3, 17):  # forwards, backwards, with batches already read ahead
        jumper.set_state({"next_index": k})
        assert_same(read[k], next(jumper))
        assert_same(read[k + 1], next(jumper))


def test_the_stream_is_the_same_in_every_version():
    """A run that resumes after an upgrade must not see other data."""
    assert batch_at(DATA, 4, batch_size=5, seed=2)["index"].tolist() == [2, 22, 16, 9, 4]


def test_two_iterators_do_not_disturb_each_other():
    left, right = (batches(DATA, batch_size=5, seed=2) for _ in range(2))
    np.random.seed(0)
    for _ in range(8):
        batch = next(left)
        np.random.random(3)  # global state must not matter
        assert_same(batch, next(right))
        next(batches(DATA, batch_size=3, seed=9))


def test_state_survives_json():
    iterator = batches(DATA, batch_size=5, seed=3, start=2)
    assert iterator.get_state() == {"next_index": 2}
    take(iterator, 7)
    saved = json.dumps(iterator.get_state())
    expected = take(iterator, 6)
    resumed = batches(DATA, batch_size=5, seed=3)
    resumed.set_state(json.loads(saved))
    for left, right in zip(expected, take(resumed, 6), strict=True):
        assert_same(left, right)


def test_far_batches_cost_no_reading():
    """A run of 1.3 million steps resumes at once."""
    assert next(batches(DATA, batch_size=128, seed=0, start=1_300_000))["index"].shape == (128,)


def test_seeds_give_different_orders():
    orders = {tuple(indices(batches(DATA, batch_size=23, seed=seed), 1)) for seed in range(20)}
    assert len(orders) == 20


@pytest.mark.parametrize("batch_size", [1, 4, 22, 23, 24, 100])
def test_eval_batches_give_each_image_once_in_order(batch_size):
    seen = list(eval_batches(DATA, batch_size))
    assert len(seen) == -(-23 // batch_size)
    for batch in seen:
        assert {name: array.dtype for name, array in batch.items()} == {
            "image": np.uint8,
            "label": np.int32,
            "index": np.int32,
            "valid": np.bool_,
        }
        assert batch["image"].shape == (batch_size, 2, 3, 1)
        assert all(len(array) == batch_size for array in batch.values())
        np.testing.assert_array_equal(batch["image"], DATA.images[batch["index"]])
        np.testing.assert_array_equal(batch["label"], batch["index"])
        assert not batch["index"][~batch["valid"]].any()  # filled up with the first image
    index = np.concatenate([batch["index"][batch["valid"]] for batch in seen])
    np.testing.assert_array_equal(index, np.arange(23))


def test_arguments_are_checked_at_the_call():
    with pytest.raises(ValueError, match="batch_size must be 1 or more; got 0"):
        batches(DATA, batch_size=0, seed=0)
    with pytest.raises(ValueError, match="batch_size must be 1 or more; got -1"):
        eval_batches(DATA, -1)
    with pytest.raises(ValueError, match="seed must be .*; got -1"):
        batches(DATA, batch_size=1, seed=-1)
    with pytest.raises(ValueError, match="start must be .*; got -1"):
        batches(DATA, batch_size=1, seed=0, start=-1)
    with pytest.raises(ValueError, match="process_index must be 0 to .*; got 2 of 2"):
        batches(DATA, batch_size=4, seed=0, process_index=2, process_count=2)
    with pytest.raises(ValueError, match="batch_size is 5, which 2 processes do not divide"):
        batches(DATA, batch_size=5, seed=0, process_count=2)
    with pytest.raises(ValueError, match="workers must be .*; got -1"):
        batches(DATA, batch_size=1, seed=0, workers=-1)


@pytest.mark.parametrize("count", [1, 2, 3, 6])
def test_processes_share_each_batch(count):
    """Put side by side they are the batches of one process; position and epochs with them."""
    shards = [
        batches(DATA, batch_size=6, seed=4, process_index=i, process_count=count)
        for i in range(count)
    ]
    for k, whole in enumerate(take(batches(DATA, batch_size=6, seed=4), 12)):  # three epochs
        parts = [next(shard) for shard in shards]
        assert all(len(part["index"]) == 6 // count for part in parts)
        joined = {name: np.concatenate([part[name] for part in parts]) for name in whole}
        assert_same(joined, whole)
        assert all(shard.get_state() == {"next_index": k + 1} for shard in shards)


@pytest.fixture(scope="module")
def lazy(tmp_path_factory):
    """Nineteen pictures that are decoded when asked for, and where they are."""
    folder = write_folder(tmp_path_factory.mktemp("pictures"), made(19))
    return load("folder", "train", path=folder, test_fraction=0, ram_limit=0), folder


def test_lazy_images_are_batched_as_those_in_ram(lazy):
    data, folder = lazy
    held = load("folder", "train", path=folder, test_fraction=0)
    for left, right in zip(
        take(batches(data, batch_size=4, seed=1), 12),
        take(batches(held, batch_size=4, seed=1), 12),
        strict=True,
    ):
        assert_same(left, right)


def test_position_of_lazy_shards_survives_json(lazy):
    """In the middle of an epoch, for each process."""
    data, _ = lazy
    for i in range(2):
        share = {"batch_size": 4, "seed": 1, "process_index": i, "process_count": 2}
        iterator = batches(data, **share)
        take(iterator, 7)
        saved = json.dumps(iterator.get_state())
        resumed = batches(data, **share)
        resumed.set_state(json.loads(saved))
        for left, right in zip(take(iterator, 6), take(resumed, 6), strict=True):
            assert_same(left, right)


def test_worker_processes_give_the_same_stream(lazy):
    """And the same positions: a run may go on with another number of them.

    Ctrl-C, which a terminal sends to all processes, is for this one only.
    """
    data, folder = lazy
    share = {"batch_size": 4, "seed": 1, "process_index": 1, "process_count": 2}
    alone = take(batches(data, **share), 40)
    working = batches(data, **share, workers=2)
    assert working.get_state() == {"next_index": 0}
    for k in range(11):
        assert_same(next(working), alone[k])
        assert working.get_state() == {"next_index": k + 1}
        if not k:
            workers = multiprocessing.active_children()
            for worker in workers:
                os.kill(worker.pid, signal.SIGINT)
    assert len(workers) == 2 and all(worker.is_alive() for worker in workers)
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())
    resumed = batches(data, **share)
    resumed.set_state(json.loads(json.dumps(working.get_state())))
    assert_same(next(resumed), alone[11])
    working.set_state({"next_index": 33})  # a jump
    assert_same(next(working), alone[33])
    # What goes wrong there is raised here, with its own type and name.
    whole = (folder / "004.png").read_bytes()
    (folder / "004.png").write_bytes(b"text")
    working.set_state({"next_index": 0})
    with pytest.raises(CorruptImage, match=r"004\.png: it is no picture"):
        take(working, 40)
    working.close()
    (folder / "004.png").write_bytes(whole)


def test_images_in_ram_need_no_workers():
    iterator = batches(DATA, batch_size=5, seed=2, workers=2)
    assert type(iterator) is type(batches(DATA, batch_size=5, seed=2))
    assert_same(next(iterator), batch_at(DATA, 0, batch_size=5, seed=2))
