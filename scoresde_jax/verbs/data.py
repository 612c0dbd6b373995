"""`--mode data`: what a data set contains, before anything is trained on it."""

import pathlib
from collections.abc import Iterator
from typing import Any

from scoresde_jax import build, evaluation, files
from scoresde_jax.data import inspect, preprocess
from scoresde_jax.verbs.common import user_errors

SHOWN = 100  # images in the grid
CLASSES = 20  # classes that are listed by name


def describe_data(config: build.Config, workdir: pathlib.Path) -> int:
    """Prints what both splits contain; writes data/contents.json and data/<split>.png.

    Also how fast shuffled batches come, and the largest distance between two images of a sample:
    what sigma_max of the VE SDE should be (technique 1 of Song & Ermon 2020).
    """
    with user_errors():
        splits = {split: build.dataset(config, split) for split in ("train", "test")}
    found: dict[str, Any] = {}
    train, batch_size = splits["train"], config.training.batch_size
    for split, dataset in splits.items():
        found[split] = inspect.contents(dataset)
        shown = preprocess.pixels(dataset.images[:SHOWN], levels=dataset.levels)
        evaluation.save_png(workdir / "data" / f"{split}.png", evaluation.image_grid(shown))
    found["images_per_second"] = inspect.images_per_second(
        train, batch_size=batch_size, workers=config.data.workers
    )
    found["largest_distance"] = inspect.largest_distance(train)._asdict()
    files.write_json(workdir / "data" / "contents.json", found)
    print("\n".join(_lines(found, batch_size)))
    print(f"pictures: {workdir / 'data' / 'train.png'}, {workdir / 'data' / 'test.png'}")
    return 0


def _lines(found: dict[str, Any], batch_size: int) -> Iterator[str]:
    for split in ("train", "test"):
        part = found[split]
        levels = f"{part['levels']} levels" if part["levels"] else f"continuous in {part['bounds']}"
        place = "in memory" if part["in_ram"] else "decoded when needed"
        yield (
            f"{part['name']} {split}: {part['images']:,} images of {part['height']} x "
            f"{part['width']} x {part['channels']}, {levels}, {part['bytes'] / 2**20:,.1f} MiB, "
            f"{place}"
        )
        labels = part["labels"]
        if len(labels) > CLASSES:
            yield f"  {len(labels)} classes of {min(labels.values())} to {max(labels.values())}"
        elif len(labels) > 1:
            yield "  " + ", ".join(f"{name}: {count}" for name, count in labels.items())
        yield f"  values {part['smallest']:g} to {part['largest']:g}, mean {part['mean']:.3g}"
        for line in part["skipped"]:
            yield f"  left out: {line}"
    distance = found["largest_distance"]
    yield f"{found['images_per_second']:,.0f} images/s in shuffled batches of {batch_size}"
    yield (
        f"largest distance {distance['largest']:.1f} among {distance['sample']:,} of "
        f"{distance['total']:,} training images in [0, 1]: a sigma_max for the VE SDE"
    )
