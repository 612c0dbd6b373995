"""What a data set contains, how fast batches of it come, and how far apart its images are.

Pure functions, for a command to print; nothing is written.
"""

import time
from typing import Any, NamedTuple

import numpy as np

from scoresde_jax.data.lazy import Lazy
from scoresde_jax.data.order import permutation
from scoresde_jax.data.pipeline import batches
from scoresde_jax.data.source import Dataset

SAMPLE_SEED = 0
BLOCK = 512  # images whose distances to as many others are computed at once
SAMPLE_BYTES = 2**30  # that a sample may take in float64: 42 images of 1024 pixels in colour


class Distance(NamedTuple):
    """The largest distance found in a sample of images, x in [0, 1]."""

    largest: float
    pair: tuple[int, int]  # rows of the two images
    sample: int  # images compared
    total: int  # images there are
    bound: float  # sqrt(dims): no two images can be further apart


def contents(dataset: Dataset, *, sample: int = 1000) -> dict[str, Any]:
    """Describes a data set; fit for JSON.

    Args:
      sample: images, the first ones, of which values are counted; fewer if they take more than
        SAMPLE_BYTES.

    Returns:
      "name", "images", "height", "width", "channels", "levels" (None for continuous data),
      "bounds" (of continuous data), "bytes" (decoded), "in_ram", "labels" ({class: count}),
      "skipped" (corrupt images left out), and of the sample "sample", "smallest", "largest",
      "mean", "distinct" (values that occur; None for continuous data).
    """
    count, height, width, channels = dataset.images.shape
    some = np.asarray(dataset.images[: _affordable(sample, dataset)])
    counts = np.bincount(dataset.labels, minlength=len(dataset.classes))
    return {
        "name": dataset.name,
        "images": count,
        "height": height,
        "width": width,
        "channels": channels,
        "levels": dataset.levels,
        "bounds": None if dataset.levels else list(dataset.bounds),
        "bytes": count * height * width * channels * np.dtype(dataset.images.dtype).itemsize,
        "in_ram": not isinstance(dataset.images, Lazy),
        "labels": dict(zip(dataset.classes, counts.tolist(), strict=True)),
        "skipped": list(dataset.skipped),
        "sample": len(some),
        "smallest": some.min().item(),
        "largest": some.max().item(),
        "mean": float(some.mean(dtype=np.float64)),
        "distinct": len(np.unique(some)) if dataset.levels else None,
    }


def images_per_second(
    dataset: Dataset, *, batch_size: int, seconds: float = 3.0, workers: int = 0
) -> float:
    """Measures how fast shuffled batches come, with nothing else to do.

    Args:
      seconds: to measure for, after a first batch.
    """
    stream = batches(dataset, batch_size=batch_size, seed=0, workers=workers)
    try:
        next(stream)  # starts what has to be started
        begin, count = time.perf_counter(), 0
        while (elapsed := time.perf_counter() - begin) < seconds or not count:
            next(stream)
            count += 1
        return count * batch_size / elapsed
    finally:
        stream.close()


def largest_distance(dataset: Dataset, *, sample: int = 2000) -> Distance:
    """Finds the two images of a random sample that are furthest apart, |x - y|, x in [0, 1].

    VE's sigma_max should be as large as the largest distance of the data, so that its samples can
    go from any image to any other (technique 1 of Song & Ermon 2020). The largest of a sample is
    smaller than the largest of all. Exact for levels: sums of squares of integers.

    Args:
      sample: images; all if there are no more, and fewer if their levels in float64 take more than
        SAMPLE_BYTES.
    """
    total = len(dataset.images)
    rows = np.sort(permutation(total, SAMPLE_SEED)[: _affordable(sample, dataset)])
    images = np.asarray(dataset.images[rows], np.float64).reshape(len(rows), -1)
    norms = np.einsum("ij,ij->i", images, images)
    best, pair = -1.0, (0, 0)
    for first in range(0, len(rows), BLOCK):
        left = slice(first, first + BLOCK)
        for second in range(first, len(rows), BLOCK):
            right = slice(second, second + BLOCK)
            squares = norms[left, None] + norms[right] - 2 * images[left] @ images[right].T
            i, j = np.unravel_index(np.argmax(squares), squares.shape)
            if squares[i, j] > best:
                best, pair = float(squares[i, j]), (first + int(i), second + int(j))
    unit = 1 if dataset.levels is None else dataset.levels - 1
    return Distance(
        largest=float(np.sqrt(max(best, 0.0))) / unit,
        pair=(int(rows[pair[0]]), int(rows[pair[1]])),
        sample=len(rows),
        total=total,
        bound=float(np.sqrt(images.shape[1])),
    )


def _affordable(sample: int, dataset: Dataset) -> int:
    """As many images as are asked for, or as SAMPLE_BYTES hold; a pair at least."""
    _, height, width, channels = dataset.images.shape
    return min(sample, max(2, SAMPLE_BYTES // (8 * height * width * channels)))
