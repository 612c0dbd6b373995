"""What images are measured by: config.eval.extractor, with its weights."""

import pathlib
from collections.abc import Callable
from typing import Any, cast

import numpy as np

from scoresde_jax import data, evaluation, interop
from scoresde_jax.evaluation import digit_features, extractors
from scoresde_jax.models.inception import inception_features
from scoresde_jax.tables import lookup

Config = Any  # a ConfigDict; type checkers know nothing of its attributes


def classifier_path(config: Config, workdir: pathlib.Path) -> pathlib.Path:
    """Where the classifier is: config.eval.classifier, or else where --mode features puts it."""
    given = config.eval.classifier
    return pathlib.Path(given) if given else workdir / "features" / "classifier.npz"


def extractor(
    config: Config, workdir: pathlib.Path, train_set: Callable[[], data.Dataset]
) -> extractors.Extractor:
    """Builds config.eval.extractor.

    Args:
      train_set: gives the training split; called for principal components.

    Raises:
      ValueError: the name is unknown, or weights are missing, or not what they should be; says
        where they were looked for and how to get them.
    """
    makers = {
        "classifier": lambda: _classifier(classifier_path(config, workdir)),
        "inception": lambda: _inception(config.eval.inception),
        "components": lambda: _components(train_set(), config.eval.components),
    }
    return lookup(makers, config.eval.extractor, "config.eval.extractor")()


def _classifier(path: pathlib.Path) -> extractors.Extractor:
    if not path.is_file():
        raise ValueError(
            f"config.eval.extractor is 'classifier', and there is none at {path}; --mode features "
            "with the same --config and --workdir trains one, or set config.eval.classifier."
        )
    return extractors.digit_extractor(*digit_features.read(path))


def _inception(path: str | None) -> extractors.Extractor:
    if not path or not pathlib.Path(path).is_file():
        raise ValueError(
            f"config.eval.extractor is 'inception', and config.eval.inception is {path!r}, which "
            "is no file: name the weights, pt_inception-2015-12-05-6726825d.pth of pytorch-fid or "
            "their safetensors form."
        )
    weights = interop.read_inception(path)
    apply = cast(Any, inception_features)  # its own types are of arrays on the device
    return extractors.inception_extractor(apply, weights.params, sha256=weights.sha256)


def _components(dataset: data.Dataset, count: int) -> extractors.Extractor:
    if dataset.levels is None:
        raise ValueError(
            "config.eval.extractor 'components' takes images in levels, and these are continuous."
        )
    images = np.asarray(dataset.images[:10_000], np.float64)
    projection = evaluation.principal_components(images, count)
    return extractors.component_extractor(projection, levels=dataset.levels)
