"""Image sets by name or path, batches of them, and their scaling inside the compiled step.

    train = load("digits", "train")                            -> source.Dataset
    train = load("folder", "train", path=DIR, image_size=64)
    for batch in batches(train, batch_size=128, seed=0):       -> {"image", "label", "index"}
        x0 = quantized_unit(batch["image"], levels=train.levels)    (preprocess, inside jit)

To add a data set: write a function split -> Dataset and add a row to PACKAGED, or a row to
`tfds.SOURCES` if TensorFlow Datasets has it.  For your own arrays call `source.dataset`.
docs/data.md describes every source.
"""

from os import PathLike

from scoresde_jax.data.arrays import array_images as _arrays
from scoresde_jax.data.digits import digits as _digits
from scoresde_jax.data.emoji import emoji as _emoji
from scoresde_jax.data.folder import folder_images as _folder
from scoresde_jax.data.given import given_images as given_images
from scoresde_jax.data.names import published as _published
from scoresde_jax.data.pictures import CorruptImage as CorruptImage
from scoresde_jax.data.pictures import UnsuitableImage as UnsuitableImage
from scoresde_jax.data.pipeline import Batches as Batches
from scoresde_jax.data.pipeline import batch_at as batch_at
from scoresde_jax.data.pipeline import batches as batches
from scoresde_jax.data.pipeline import eval_batches as eval_batches
from scoresde_jax.data.records import array_record_images as _array_record
from scoresde_jax.data.records import tfrecord_images as _tfrecord
from scoresde_jax.data.source import RAM_LIMIT, TEST_FRACTION, Request, check_known
from scoresde_jax.data.source import UNLABELLED as UNLABELLED
from scoresde_jax.data.source import Dataset as Dataset
from scoresde_jax.data.tfds import SOURCES as _TFDS
from scoresde_jax.data.tfds import tfds_images as _tfds_images

PACKAGED = {"digits": _digits, "emoji": _emoji}  # split -> Dataset; come with the installation
# (path, Request) -> Dataset
AT_PATH = {
    "folder": _folder,
    "arrays": _arrays,
    "array_record": _array_record,
    "tfrecord": _tfrecord,
}


def load(
    name: str,
    split: str,
    data_dir: str | PathLike | None = None,
    *,
    path: str | PathLike | None = None,
    image_size: int | None = None,
    channels: int | None = None,
    on_corrupt: str = "error",
    test_fraction: float = TEST_FRACTION,
    ram_limit: int = RAM_LIMIT,
) -> Dataset:
    """Loads one split of a data set; into RAM if it fits, else its images decode when asked for.

    Args:
      name: "digits" or "emoji"; a TFDS set that `scoresde_jax.data.prepare` has stored, as
        "cifar10"; a kind of source at `path`: "folder" (or a zip), "arrays" (.npy, .npz),
        "array_record", "tfrecord"; or a published name with a size, as "church_256" (`names`).
      split: "train" or "test"; some sets have more.
      data_dir: where prepared TFDS sets are; $TFDS_DATA_DIR or ~/tensorflow_datasets if None.
      path: file, folder or, for records, pattern of a source at a path.
      image_size: images become squares of this side; if None, all must have one size.  Sets that
        come with the package are left as they are.
      channels: 1 or 3; if None, those of the images.
      on_corrupt: "error", or "skip" to leave corrupt images out and name them in `skipped`.
      test_fraction: of a source without a split of its own, the part to test on; 0 to test on what
        is trained on.
      ram_limit: bytes that a split may take in RAM.

    Raises:
      ValueError: an argument is not known or missing, nothing is stored (as tfds.DataNotPrepared),
        or images are corrupt (as CorruptImage) or not of one kind (as UnsuitableImage).
    """
    name, image_size, test_fraction = _published(name, image_size, test_fraction, path)
    check_known("data set", name, (*PACKAGED, *_TFDS, *AT_PATH))
    if name in PACKAGED:
        return PACKAGED[name](split)
    check_known("on_corrupt", on_corrupt, ("error", "skip"))
    _check(image_size, channels, test_fraction)
    request = Request(split, image_size, channels, on_corrupt, test_fraction, ram_limit)
    if name in _TFDS:
        return _tfds_images(name, request, data_dir)
    check_known(f"split of a {name} source", split, ("train", "test"))
    if path is None:
        raise ValueError(f"data set {name!r} needs the path of your own data: set path.")
    return AT_PATH[name](path, request)


def _check(image_size: int | None, channels: int | None, test_fraction: float) -> None:
    if image_size is not None and image_size < 1:
        raise ValueError(f"image_size must be 1 or more pixels; got {image_size}.")
    if channels not in (None, 1, 3):
        raise ValueError(f"channels must be 1 (grey) or 3 (RGB); got {channels}.")
    if not 0 <= test_fraction < 1:
        raise ValueError(f"test_fraction must be at least 0 and below 1; got {test_fraction:g}.")
