"""The data sets of the published configs, whose names end with the size in pixels.

    celeba_64, bedroom_128, bedroom_256, church_256     prepared TFDS sets
    ffhq_256, ffhq_1024, celebahq_256, celebahq_1024    StyleGAN TFRecords, at a path

FFHQ and CelebA-HQ have no split: as in 2021, both splits are all images, so numbers on "test" are
numbers on the training set. Loaded as "tfrecord", a part of them is held out.
"""

import re
from os import PathLike

PREPARED = {"celeba": "celeba", "bedroom": "lsun_bedroom", "church": "lsun_church_outdoor"}
AT_PATH = ("ffhq", "celebahq")


def published(
    name: str, image_size: int | None, test_fraction: float, path: str | PathLike | None
) -> tuple[str, int | None, float]:
    """Returns the name, image size and test fraction that a published name stands for.

    Other names are returned as they are.

    Raises:
      ValueError: another size is asked for too, or a path is needed.
    """
    match = re.fullmatch(r"(.+)_(\d+)", name)
    if match is None or match[1] not in (*PREPARED, *AT_PATH):
        return name, image_size, test_fraction
    size = int(match[2])
    if image_size not in (None, size):
        raise ValueError(f"data set {name!r} has {size} pixels, and image_size is {image_size}.")
    if match[1] in PREPARED:
        return PREPARED[match[1]], size, test_fraction
    if path is None:
        raise ValueError(
            f"data set {name!r} is read from StyleGAN's TFRecords: set path, as "
            f"ffhq-r{size.bit_length() - 1:02d}.tfrecords."
        )
    return "tfrecord", size, 0.0
