"""Many samples in files, made in pieces: interrupted at any moment, they go on where they were.

A shard is what the sampler draws at once, from a key that is folded from the shard's number alone:
whenever it is drawn, by whatever process, it is the same. More samples of the same work join those
there are; samples of other work are refused, not mixed in and not deleted.
"""

import errno
import math
import pathlib
import shutil
from collections.abc import Callable, Iterator
from typing import Any

from scoresde_jax import files, shards
from scoresde_jax.shards import Columns

RESERVE = 64 * 2**20  # bytes left for everything else


def samples(
    folder: pathlib.Path,
    count: int,
    draw: Callable[[int], Columns],
    *,
    size: int,
    image_bytes: int,
    work: dict[str, Any],
    progress: Callable[[int], object] = lambda done: None,
) -> Iterator[Columns]:
    """The columns of samples 0 to count - 1, a shard at a time; those on disk as they are.

    Everything is checked when this is called, and drawn as the iterator goes.

    Args:
      draw: number of a shard -> columns of `size` rows, among them "images" (size, H, W, C) uint8.
        It should fold the number into its key.
      image_bytes: of one image, H W C.
      work: JSON, all that samples depend on: weights, sampler, seed. `size` is added to it.
      progress: is told how many samples there are.

    Raises:
      ValueError: the folder holds samples of other work, or something else.
      NoRoom: the disk has none for them; what was drawn stays.
    """
    work = files.plain({**work, "samples_per_shard": size})
    _check_work(folder, work)
    total = math.ceil(count / size)
    missing = len(set(range(total)) - shards.kept(folder))
    check_space(folder, missing * size * image_bytes)
    return _samples(folder, count, draw, size, total, work, progress)


def _samples(folder, count, draw, size, total, work, progress) -> Iterator[Columns]:
    done = 0
    # To `shards`, a shard is one example.
    pieces = shards.stream(folder, total, lambda index: draw(int(index[0])), size=1, work=work)
    try:
        for piece in pieces:
            rows = min(size, count - done)
            done += rows
            progress(done)
            yield {name: column[:rows] for name, column in piece.items()}
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise files.NoRoom(
            f"the disk of {folder} is full; the {done} samples drawn so far are whole. Make room, "
            "and the same command goes on from there.",
        ) from error


def check_space(folder: pathlib.Path, needed: int) -> None:
    """Raises NoRoom unless the disk of a folder, which need not exist yet, has the bytes free."""
    place = folder.absolute()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if free < needed + RESERVE:
        raise files.NoRoom(
            f"samples in {folder} take up to {needed / 2**20:,.0f} MiB, and its disk has "
            f"{free / 2**20:,.0f} MiB free, of which {RESERVE / 2**20:.0f} are to stay; make room, "
            "draw fewer samples, or name a folder elsewhere.",
        )


def _check_work(folder: pathlib.Path, work: dict[str, Any]) -> None:
    """Raises ValueError if the folder holds anything but samples of this work."""
    have = shards.label(folder)
    if have is None:
        # The label is written first, so a folder without one is not ours.
        if folder.exists() and any(path.suffix != ".tmp" for path in folder.iterdir()):
            raise ValueError(
                f"{folder} holds files and is no folder of samples; name one that is empty or new."
            )
        return
    if have != work:
        raise ValueError(
            f"{folder} holds samples of other settings: {'; '.join(_differences(have, work))}. "
            "Name another folder, or delete this one."
        )


def _differences(have: Any, want: Any, where: str = "") -> list[str]:
    """Settings that differ, by their dotted name."""
    if not (isinstance(have, dict) and isinstance(want, dict)):
        return [f"{where or 'all'} was {have!r} and is {want!r}"] if have != want else []
    names = [*have, *(name for name in want if name not in have)]
    return [
        line
        for name in names
        for line in _differences(have.get(name), want.get(name), f"{where}.{name}".lstrip("."))
    ]
