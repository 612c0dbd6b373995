"""CIFAR-10 from the archive on its home page, in the layout of TFDS; no TensorFlow, no network.

cifar-10-binary.tar.gz holds 5 + 1 files of records: a label byte and 3072 bytes of red, green and
blue planes, row by row (https://www.cs.toronto.edu/~kriz/cifar.html). Nothing is extracted.
"""

import hashlib
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

# Of the published file, as TFDS 4.9.10 lists it in url_checksums/cifar10.txt.
SHA256 = "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
FOLDER = "cifar-10-batches-bin"
TRAIN = tuple(f"data_batch_{i}.bin" for i in range(1, 6))
TEST = ("test_batch.bin",)
RECORD = 1 + 3 * 32 * 32
MAX_BYTES = 10_000 * RECORD  # of one file


def store_cifar10(archive: Path, data_dir: Path) -> bool:
    """Writes data_dir/cifar10/3.0.2 as array_record, whole or not at all.

    Returns:
      Whether the archive is the published one.

    Raises:
      ValueError: it is no such archive.
    """
    import tensorflow_datasets as tfds
    from PIL import Image

    classes, files = _members(archive)

    class Cifar10(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        name = "cifar10"
        VERSION = tfds.core.Version("3.0.2")

        def _info(self):
            features = {
                "id": tfds.features.Text(),
                "image": tfds.features.Image(shape=(32, 32, 3)),
                "label": tfds.features.ClassLabel(names=list(classes)),
            }
            return tfds.core.DatasetInfo(
                builder=self, features=tfds.features.FeaturesDict(features)
            )

        def _split_generators(self, dl_manager):
            return {
                "train": self._generate_examples("train", TRAIN),
                "test": self._generate_examples("test", TEST),
            }

        def _generate_examples(self, split, names):
            for index, (image, label) in enumerate(_records(files, names)):
                # A PIL image: TFDS encodes arrays with TensorFlow.
                record = {"id": f"{split}_{index:05d}", "image": Image.fromarray(image)}
                yield index, record | {"label": label}

    Cifar10(data_dir=data_dir, file_format="array_record").download_and_prepare()
    with open(archive, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest() == SHA256


def _members(archive: Path) -> tuple[list[str], dict[str, bytes]]:
    """Names of the classes, and the content of the files of records."""
    files = {}
    try:
        with tarfile.open(archive) as tar:
            for name in ("batches.meta.txt", *TRAIN, *TEST):
                member = tar.getmember(f"{FOLDER}/{name}")
                stream = tar.extractfile(member)
                if stream is None or member.size > MAX_BYTES:
                    raise ValueError(f"{archive}: {name} is no file of records.")
                files[name] = stream.read()
    except (tarfile.TarError, KeyError, OSError, EOFError) as error:
        raise ValueError(
            f"{archive} is not cifar-10-binary.tar.gz, or is damaged: {error}. Get the 'binary "
            "version' from https://www.cs.toronto.edu/~kriz/cifar.html."
        ) from error
    classes = files.pop("batches.meta.txt").decode("ascii", "replace").split()
    for name, content in files.items():
        labels = np.frombuffer(content[::RECORD], np.uint8)
        if not content or len(content) % RECORD or labels.max() >= len(classes):
            raise ValueError(f"{archive}: {name} does not hold records of {RECORD} bytes.")
    return classes, files


def _records(files: dict[str, bytes], names: tuple[str, ...]) -> Iterator[tuple[np.ndarray, int]]:
    for name in names:
        for row in np.frombuffer(files[name], np.uint8).reshape(-1, RECORD):
            yield np.ascontiguousarray(row[1:].reshape(3, 32, 32).transpose(1, 2, 0)), int(row[0])
