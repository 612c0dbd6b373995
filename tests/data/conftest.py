"""Stand-ins for TFDS sets: same names, features and splits, a few records."""

import tempfile

import numpy as np
import pytest
from PIL import Image

CLASSES = tuple("abcdefghij")


def picture(i):
    """The image of record i: its number in red, a gradient in green, noise in blue."""
    rows = np.arange(32, dtype=np.uint8)[:, None].repeat(32, axis=1)
    noise = np.random.default_rng(i).integers(0, 256, (32, 32), np.uint8)
    return np.stack([np.full_like(rows, i), rows, noise], axis=-1)


@pytest.fixture(scope="session", autouse=True)
def left_by_tfds(tmp_path_factory):
    """TFDS makes a temporary folder for each builder of a set, and leaves it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(tmp_path_factory.mktemp("left")))
        yield


@pytest.fixture(scope="session")
def cifar10_builder():
    """The builder class; PIL images are encoded without TensorFlow.  `picture(i)` is record i."""
    import tensorflow_datasets as tfds

    class Cifar10(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        name = "cifar10"
        VERSION = tfds.core.Version("3.0.2")
        classes = CLASSES
        picture = staticmethod(picture)

        def _info(self):
            features = {
                "id": tfds.features.Text(),
                "image": tfds.features.Image(shape=(32, 32, 3)),
                "label": tfds.features.ClassLabel(names=CLASSES),
            }
            return tfds.core.DatasetInfo(
                builder=self, features=tfds.features.FeaturesDict(features)
            )

        def _split_generators(self, dl_manager):
            return {
                "train": self._generate_examples(0, 50),
                "test": self._generate_examples(50, 70),
            }

        def _generate_examples(self, first, last):
            for i in range(first, last):
                image = Image.fromarray(picture(i))
                yield i, {"id": f"record_{i}", "image": image, "label": i % 10}

    return Cifar10


@pytest.fixture(scope="session")
def prepared():
    """(builder class, data_dir, ...) -> None: the set stored as array_record."""

    def prepare(builder, data_dir, **arguments):
        builder(data_dir=data_dir, file_format="array_record", **arguments).download_and_prepare()

    return prepare


@pytest.fixture(scope="session")
def cifar10_dir(cifar10_builder, prepared, tmp_path_factory):
    """A data_dir with the stand-in prepared as array_record.  Read only."""
    data_dir = tmp_path_factory.mktemp("tfds")
    prepared(cifar10_builder, data_dir)
    return data_dir


@pytest.fixture(scope="session")
def prepare_tfds(prepared):
    """(data_dir, name, version, features, splits) -> that set stored as array_record.

    `name` has its config after a slash, as "lsun/bedroom"; `splits` maps a name to its records, in
    which images are encoded already.
    """
    import tensorflow_datasets as tfds

    def prepare(data_dir, full_name, version, features, splits):
        set_name, _, config = full_name.partition("/")

        class StandIn(tfds.core.GeneratorBasedBuilder, skip_registration=True):
            name = set_name
            VERSION = tfds.core.Version(version)
            BUILDER_CONFIGS = (
                [tfds.core.BuilderConfig(name=config, version=VERSION)] if config else []
            )

            def _info(self):
                return tfds.core.DatasetInfo(
                    builder=self, features=tfds.features.FeaturesDict(features(tfds.features))
                )

            def _split_generators(self, dl_manager):
                return {
                    split: self._generate_examples(records) for split, records in splits.items()
                }

            def _generate_examples(self, records):
                yield from enumerate(records)

        prepared(StandIn, data_dir, **({"config": config} if config else {}))

    return prepare
