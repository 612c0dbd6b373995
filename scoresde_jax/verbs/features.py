"""`--mode features` and `--mode stats`: what samples are measured by, and compared with."""

import pathlib

import numpy as np

from scoresde_jax import build, data, files, quality
from scoresde_jax.evaluation import digit_features, statistics_files
from scoresde_jax.evaluation.provenance import parameter_hash
from scoresde_jax.models.classifier import SmallClassifier
from scoresde_jax.progress import Progress
from scoresde_jax.verbs.common import user_errors


def train_features(config: build.Config, workdir: pathlib.Path) -> int:
    """Trains a classifier of the training split, whose features distances can be taken in.

    Writes features/classifier.npz and features/accuracy.json.
    """
    with user_errors():
        train_set, test_set = (build.dataset(config, split) for split in ("train", "test"))
        if len(train_set.classes) < 2 or train_set.levels is None:
            raise ValueError(
                f"data set {config.data.name!r} has no classes, or no levels, to train a "
                "classifier on; use config.eval.extractor 'components' or 'inception'."
            )
        images = train_set.images
        if not (isinstance(images, np.ndarray) and isinstance(test_set.images, np.ndarray)):
            raise ValueError(
                f"the classifier is trained on images in RAM, and {config.data.name!r} does not "
                "fit; use config.eval.extractor 'components' or 'inception'."
            )
        section = config.classifier
        if section.batch_size > len(train_set.images):
            raise ValueError(
                f"config.classifier.batch_size is {section.batch_size}, and there are "
                f"{len(train_set.images)} training images; choose a smaller batch."
            )
        classifier = SmallClassifier(len(train_set.classes), section.channels, section.features)
        optimizer = build.adam_to_zero(config, "classifier", len(train_set.images))
    levels = train_set.levels
    steps = section.epochs * (len(train_set.images) // section.batch_size)
    progress = Progress("features", steps, unit="step")
    params = digit_features.train(
        section.seed,
        images,
        train_set.labels,
        classifier=classifier,
        levels=levels,
        optimizer=optimizer,
        epochs=section.epochs,
        batch_size=section.batch_size,
        progress=progress.update,
    )
    progress.close()
    target = workdir / "features" / "classifier.npz"
    digit_features.write(target, params, levels=levels)

    def right(dataset: data.Dataset) -> float:
        images, labels = np.asarray(dataset.images), dataset.labels
        return digit_features.accuracy(params, images, labels, classifier=classifier, levels=levels)

    found = {"train": right(train_set), "test": right(test_set)}
    digest = parameter_hash(params)
    files.write_json(workdir / "features" / "accuracy.json", found | {"hash": digest})
    print(f"accuracy {found['test']:.4f} on test images ({found['train']:.4f} on those trained on)")
    print(f"features: {target}, {digest[:8]}")
    return 0


def write_statistics(config: build.Config, workdir: pathlib.Path) -> int:
    """Writes the statistics of both splits: stats/<data>_<split>_<extractor>.npz."""
    with user_errors():
        sets = {split: build.dataset(config, split) for split in ("train", "test")}
        if config.data.levels is None:
            raise ValueError("statistics are of images in levels; these data are continuous.")
        extractor = build.extractor(config, workdir, lambda: sets["train"])
    for split, dataset in sets.items():
        progress = Progress(split, len(dataset.images), unit="image")
        found = quality.statistics(dataset, split, extractor, progress)
        progress.close()
        target = workdir / "stats" / f"{config.data.name}_{split}_{extractor.name}.npz"
        statistics_files.write(target, found)
        print(f"{len(dataset.images):,} images, {extractor.dims} features each: {target}")
    return 0
