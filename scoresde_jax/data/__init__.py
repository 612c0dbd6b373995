"""Named image sets, batches of them, and their scaling inside the compiled step.

    train = load("digits", "train")                       -> source.Dataset, uint8 in RAM
    for batch in batches(train, batch_size=128, seed=0):  -> {"image", "label", "index"}
        x0 = quantized_unit(batch["image"], levels=train.levels)    (preprocess, inside jit)

To add a data set: write a function split -> Dataset and add a row to PACKAGED, or a row to
`tfds.SOURCES` if TensorFlow Datasets has it.  For your own arrays call `source.dataset`.
"""

from os import PathLike

from scoresde_jax.data.digits import digits as _digits
from scoresde_jax.data.emoji import emoji as _emoji
from scoresde_jax.data.pipeline import batch_at as batch_at
from scoresde_jax.data.pipeline import batches as batches
from scoresde_jax.data.pipeline import eval_batches as eval_batches
from scoresde_jax.data.source import Dataset as Dataset
from scoresde_jax.data.source import check_known
from scoresde_jax.data.tfds import SOURCES as _TFDS
from scoresde_jax.data.tfds import tfds_images as _tfds_images

PACKAGED = {"digits": _digits, "emoji": _emoji}  # split -> Dataset; come with the installation


def load(name: str, split: str, data_dir: str | PathLike | None = None) -> Dataset:
    """Loads one split of a named data set into RAM.

    Args:
      name: "digits", "emoji", or a TFDS set that `scoresde_jax.data.prepare` has stored: "cifar10",
        "svhn_cropped".
      split: "train" or "test".
      data_dir: where prepared TFDS sets are; $TFDS_DATA_DIR or ~/tensorflow_datasets if None.

    Raises:
      ValueError: name or split is not known, or (as tfds.DataNotPrepared) nothing is stored.
    """
    check_known("data set", name, (*PACKAGED, *_TFDS))
    if name in PACKAGED:
        return PACKAGED[name](split)
    return _tfds_images(name, split, data_dir)
