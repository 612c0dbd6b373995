"""Batches of images.

`batch_at`      batch number k of an endless stream, shuffled anew each epoch; a pure function of
                (dataset, k, batch_size, seed), so the position in the data is one number.
`batches`       that stream as an iterator, read ahead, whose position can be saved.
`eval_batches`  each image exactly once, in order, all batches of one shape, for evaluation.

Randomness per image (flips, dequantisation) is not here but in `preprocess`, on the device.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from multiprocessing import resource_tracker
from typing import Any, Protocol

import numpy as np

from scoresde_jax.data.lazy import Lazy
from scoresde_jax.data.order import permutation
from scoresde_jax.data.source import Dataset

Batch = dict[str, np.ndarray]


class Batches(Protocol):
    """An endless iterator over batches, whose position can be saved."""

    def __iter__(self) -> Iterator[Batch]:
        """Itself."""
        ...

    def __next__(self) -> Batch:
        """The next batch."""
        ...

    def get_state(self) -> dict[str, Any]:
        """The position, JSON."""
        ...

    def set_state(self, state: dict[str, Any]) -> None:
        """Goes on from a position."""
        ...

    def close(self) -> None:
        """Ends what reads ahead."""
        ...


END = 2**40  # batches: without end, and k * batch_size still fits in 64 bits


def batch_at(
    dataset: Dataset,
    k: int,
    *,
    batch_size: int,
    seed: int,
    process_index: int = 0,
    process_count: int = 1,
) -> Batch:
    """Returns batch number k of the shuffled stream, or one process's share of it.

    The epochs are laid end to end, each a fresh permutation, and cut into batches; so every image
    comes once per epoch, and a batch may hold the end of one epoch and the beginning of the next.

    Args:
      batch_size: of all processes together.
      process_index: which of process_count equal shares of the rows to return, in order.

    Returns:
      {"image": (B, H, W, C), "label": (B,) int32, "index": (B,) int32}, index being the row
      in dataset; images are uint8, or float32 for continuous data.
    """
    n, share = len(dataset.images), batch_size // process_count
    first = k * batch_size + process_index * share
    epoch, place = np.divmod(first + np.arange(share), n)
    index = np.empty(share, np.int32)
    for e in range(epoch[0], epoch[-1] + 1):
        rows = epoch == e
        index[rows] = _epoch_order(n, seed, e)[place[rows]]
    return _gather(dataset, index)


def batches(
    dataset: Dataset,
    *,
    batch_size: int,
    seed: int,
    start: int = 0,
    process_index: int = 0,
    process_count: int = 1,
    workers: int = 0,
) -> Batches:
    """Iterates without end over `batch_at(dataset, k, ...)` for k = start, start + 1, ...

    The shuffle is ours, not Grain's: Grain's costs 28 us an image for 1,500 images and 1.7 ms for
    23, because it draws from at least 2^16 places until it hits the data set.

    Args:
      batch_size: of all processes together.
      seed: 0 to 2^32 - 1.
      process_index: of process_count; returns its share of the rows.
      workers: processes that decode lazy images. Images in RAM are gathered here in any case: to
        send them between processes takes longer.

    Returns:
      An iterator.  `get_state()` is {"next_index": k}, fit for JSON, with k the number of the batch
      to come, whatever the number of processes and workers; `set_state` takes it back. `close()`
      it when it has workers: they are processes.

    Raises:
      ValueError: an argument is out of range, or processes do not divide the batch size.
    """
    _check_batch_size(batch_size)
    if not 0 <= seed < 2**32:
        raise ValueError(f"seed must be 0 to 2^32 - 1; got {seed}.")
    if start < 0:
        raise ValueError(f"start must be the number of a batch, 0 or more; got {start}.")
    if not 0 <= process_index < process_count:
        raise ValueError(
            f"process_index must be 0 to process_count - 1; got {process_index} of {process_count}."
        )
    if batch_size % process_count:
        raise ValueError(
            f"batch_size is {batch_size}, which {process_count} processes do not divide."
        )
    if workers < 0:
        raise ValueError(f"workers must be a number of processes, 0 or more; got {workers}.")
    share = {"process_index": process_index, "process_count": process_count}
    numbered = partial(_numbered, dataset=dataset, batch_size=batch_size, seed=seed, **share)
    if workers and isinstance(dataset.images, Lazy):
        return WorkerBatches(numbered, workers, start)
    import grain

    # One thread, a few batches ahead: a batch is a gather, and takes well under a millisecond.
    options = grain.ReadOptions(num_threads=1, prefetch_buffer_size=4)
    iterator = iter(grain.MapDataset.range(END).map(numbered).to_iter_dataset(options))
    iterator.set_state({"next_index": start})
    return iterator


class WorkerBatches:
    """Batches made in other processes, in the order and with the position of those made here.

    Grain's own iterator over processes has a position of another form, which depends on their
    number. So this one counts, and starts Grain's anew where `set_state` puts it.
    """

    def __init__(self, numbered: Callable[[int], Batch], workers: int, start: int):
        self._numbered, self._workers, self._next = numbered, workers, start
        self._iterator: Any = None  # the processes start with the first batch

    def __iter__(self) -> WorkerBatches:
        return self

    def __next__(self) -> Batch:
        if self._iterator is not None:
            batch = next(self._iterator)
        else:
            with _deaf_to_interrupts():  # Grain starts the processes when it is first asked
                self._iterator = self._started()
                batch = next(self._iterator)
        self._next += 1
        return batch

    def _started(self) -> Any:
        import grain
        from absl import flags

        if not flags.FLAGS.is_parsed():  # outside main.py; Grain reads a flag of its own
            flags.FLAGS.mark_as_parsed()
        # Shorter buffers than a process's own: each worker holds two batches.
        read = grain.ReadOptions(num_threads=1, prefetch_buffer_size=1)
        several = grain.MultiprocessingOptions(self._workers, per_worker_buffer_size=2)
        rest = grain.MapDataset.range(self._next, END).map(self._numbered)
        return iter(rest.to_iter_dataset(read).mp_prefetch(several))

    def get_state(self) -> dict[str, int]:
        """Returns {"next_index": k}, k the number of the batch to come."""
        return {"next_index": self._next}

    def set_state(self, state: dict[str, int]) -> None:
        """Goes to the batch that a state names."""
        self.close()
        self._next = state["next_index"]

    def close(self) -> None:
        """Ends the processes; the next batch starts new ones."""
        if self._iterator is not None:
            self._iterator.close()
            self._iterator = None


@contextlib.contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Blocks SIGINT for the processes started here, which inherit that for good.

    A terminal sends Ctrl-C to all of a group. It is for the process that trains, which ends its
    chunk before it saves, and needs batches for that. What it is sent meanwhile comes afterwards.
    """
    resource_tracker.ensure_running()  # starting it, as multiprocessing would, lifts the block
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _numbered(k: int, *, dataset: Dataset, **arguments: int) -> Batch:
    return batch_at(dataset, int(k), **arguments)


def eval_batches(dataset: Dataset, batch_size: int) -> Iterator[Batch]:
    """Yields every image exactly once, in order, in batches that all have batch_size rows.

    The last batch is filled up with the first image of the data set, marked valid False: one
    compiled shape serves, and a sum over images is a sum over rows weighted by valid.

    Yields:
      {"image": (B, H, W, C), "label": (B,) int32, "index": (B,) int32, "valid": (B,) bool}
    """
    _check_batch_size(batch_size)
    return _padded(dataset, batch_size)


def _padded(dataset: Dataset, batch_size: int) -> Iterator[Batch]:
    for first in range(0, len(dataset.images), batch_size):
        row = np.arange(first, first + batch_size)
        valid = row < len(dataset.images)
        yield _gather(dataset, np.where(valid, row, 0)) | {"valid": valid}


@lru_cache(maxsize=4)  # an epoch's order is needed for all its batches
def _epoch_order(n: int, seed: int, epoch: int) -> np.ndarray:
    return permutation(n, seed, epoch)


def _gather(dataset: Dataset, index: np.ndarray) -> Batch:
    return {
        "image": dataset.images[index],
        "label": dataset.labels[index],
        "index": index.astype(np.int32),
    }


def _check_batch_size(batch_size: int) -> None:
    if batch_size < 1:
        raise ValueError(f"batch_size must be 1 or more; got {batch_size}.")
