"""What turns images into features, with all that tells two kinds of features apart.

    extractor.features(images uint8 (B, H, W, C)) -> pool (B, dims), logits (B, classes) or None

An extractor takes images of its own number of levels, `as_levels` brings them there.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np

from scoresde_jax.evaluation import digit_features
from scoresde_jax.evaluation.projection import Projection
from scoresde_jax.evaluation.provenance import parameter_hash
from scoresde_jax.models.classifier import SmallClassifier

Features = tuple[np.ndarray, np.ndarray | None]


class Extractor(NamedTuple):
    """A map of images to features."""

    name: str
    hash: str  # of all numbers in it
    resize: str  # how images come to its size
    dims: int
    levels: int  # of the images that it takes
    features: Callable[[np.ndarray], Features]  # (B, H, W, C) uint8; any B, on the host

    def blocks(self, images: Any, size: int) -> Iterator[Features]:
        """Features of `size` images at a time, of (N, H, W, C) images or what is indexed like them.

        The last block is filled up before it is computed, so that one program serves all.

        Raises:
          ValueError: images are of more levels than the extractor takes.
        """
        for first in range(0, len(images), size):
            part = np.asarray(images[first : first + size])
            self._check(part)
            missing = min(size, len(images)) - len(part)
            filled = np.concatenate([part, np.repeat(part[:1], missing, axis=0)])
            pool, logits = self.features(filled)
            yield pool[: len(part)], None if logits is None else logits[: len(part)]

    def all(self, images: Any, size: int = 256) -> Features:
        """Features of all images, in order: pool (N, dims), and logits (N, classes) or None."""
        return joined(self.blocks(images, size))

    def _check(self, images: np.ndarray) -> None:
        if images.dtype != np.uint8 or images.max() >= self.levels:
            raise ValueError(
                f"extractor {self.name!r} takes uint8 images of {self.levels} levels; got "
                f"{images.dtype} up to {images.max()}. Bring them there with as_levels."
            )


def joined(parts: Iterable[Features]) -> Features:
    """Blocks of features as one."""
    pool, logits = zip(*parts, strict=True)
    return np.concatenate(pool), None if logits[0] is None else np.concatenate(logits)


def as_levels(images: np.ndarray, *, levels: int, wanted: int) -> np.ndarray:
    """Images of 0 to levels - 1 as the nearest of 0 to wanted - 1, uint8; black and white stay."""
    if levels == wanted:
        return images
    return np.round(images * ((wanted - 1) / (levels - 1))).astype(np.uint8)


def inception_extractor(
    apply: Callable[[Any, np.ndarray], tuple[Any, Any]],
    params: Any,
    *,
    sha256: str,
    dims: int = 2048,
) -> Extractor:
    """The network of the FID.

    Args:
      apply: (params, images) -> pool, logits: `models.inception.inception_features`.
      params: with `fc`, the last layer, whose bias the Inception Score's logits do without.
      sha256: of the weights' file.
    """
    program = jax.jit(apply)

    def features(images: np.ndarray) -> Features:
        pool, logits = jax.device_get(program(params, images))
        return pool, logits - np.asarray(params["fc"]["bias"])

    return Extractor("inception-2015-12-05", sha256, "tf1-bilinear-299", dims, 256, features)


def digit_extractor(classifier: SmallClassifier, params: Any, levels: int) -> Extractor:
    """The project's own classifier, as `digit_features.read` returns it."""
    program = jax.jit(digit_features.outputs, static_argnums=0)

    def features(images: np.ndarray) -> Features:
        x = digit_features.centred(images, levels=levels)
        return jax.device_get(program(classifier, params, x))

    digest = parameter_hash(params)
    return Extractor("digit-classifier", digest, "none", classifier.features, levels, features)


def component_extractor(projection: Projection, *, levels: int) -> Extractor:
    """Principal components of levels."""
    digest = hashlib.sha256()
    for array in projection:
        digest.update(f"{array.shape}".encode() + np.ascontiguousarray(array, "<f8").tobytes())
    dims = projection.axes.shape[1]
    return Extractor(
        "principal-components",
        digest.hexdigest(),
        "none",
        dims,
        levels,
        lambda images: (projection.features(images), None),
    )
