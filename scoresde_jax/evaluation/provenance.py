"""Where a number comes from, and whether two numbers may be compared.

Published scores of one model differ by more than those of two models, for reasons of this list: the
resize rule alone is worth 6 FID (Parmar et al. 2022), truncating instead of rounding pixels, raw
instead of averaged weights, or fewer images more than the gains that papers report.
"""

import dataclasses
import hashlib
import json
from typing import Any, Self

import jax
import numpy as np


@dataclasses.dataclass(frozen=True)
class Provenance:
    """What a result or a statistics file depends on; None where it is not known or means nothing.

    Attributes:
      extractor: name of what made the features.
      extractor_hash: of its weights.
      resize: how images came to the extractor's size.
      rounding: how samples became levels; "exact" for images that were levels all along.
      images: how many.
      source: whose images: "model", or a data set, its split and size, "cifar10/train 32x32x3".
      reference: data set, split and size that they are compared with.
      reference_images: how many.
      sampler: its name.
      settings: the sampler's, as JSON.
      guidance: method, scale, class, interval and a hash of what guides; None for samples of the
        model as it is.
      nfe: evaluations for an image, on average.
      step: of the weights.
      ema: whether the weights are averaged.
      seed: of the sampler.
    """

    extractor: str
    extractor_hash: str
    resize: str
    rounding: str
    images: int
    source: str
    reference: str | None = None
    reference_images: int | None = None
    sampler: str | None = None
    settings: dict[str, Any] | None = None
    nfe: float | None = None
    step: int | None = None
    ema: bool | None = None
    seed: int | None = None
    guidance: dict[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        """What `from_json` takes."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """Reads a provenance.

        Raises:
          ValueError: it is of another shape.
        """
        names = {field.name for field in dataclasses.fields(cls)}
        if not isinstance(value, dict) or set(BEFORE | value) != names:
            have = sorted(value) if isinstance(value, dict) else json.dumps(value)[:80]
            raise ValueError(f"a provenance has the keys {sorted(names)}; got {have}.")
        return cls(**value)


BEFORE = {"guidance": None}  # keys that are younger than some files, and what held before
FEATURES = ("extractor_hash", "resize")  # what makes features the same features
COMPARED = (*FEATURES, "rounding", "reference", "reference_images", "guidance")
BIASED = ("images",)  # what moves the mean of an estimate that is biased


def differences(one: Provenance, other: Provenance, names: tuple[str, ...]) -> list[str]:
    """The named settings that differ, each with both values."""
    pairs = [(name, getattr(one, name), getattr(other, name)) for name in names]
    return [f"{name}: {a!r} and {b!r}" for name, a, b in pairs if a != b]


def check_same_features(one: Provenance, other: Provenance) -> None:
    """Whether features of one may be held against features, or statistics, of the other.

    Raises:
      ValueError: extractor or resize rule differ; says which.
    """
    if found := differences(one, other, FEATURES):
        raise ValueError(
            f"features of {one.extractor!r} and of {other.extractor!r} are not the same numbers: "
            f"{'; '.join(found)}. Make the statistics again with --mode stats and this extractor."
        )


def check_comparable(
    one: Provenance, other: Provenance, *, biased: bool = True, varied: tuple[str, ...] = ()
) -> None:
    """Whether two results of one metric say which images are better.

    Sampler, its settings, evaluations, step, averaging and seed may differ: they are what is
    compared. Extractor, resize rule, rounding and the reference must agree, and so must guidance,
    which samples another law than the data's: of one class, or with less variety.

    Args:
      biased: whether the metric's mean depends on the number of images (FID, Inception Score,
        precision and recall), so that it must agree as well. Not that of KID and of distances
        extrapolated to infinitely many.
      varied: what may differ because it is what is compared: ("guidance",) for its scales.

    Raises:
      ValueError: names all that differs.
    """
    names = COMPARED + (BIASED if biased else ())
    if found := differences(one, other, tuple(name for name in names if name not in varied)):
        raise ValueError(
            f"these results are not comparable: {'; '.join(found)}. Compute both with the same "
            "settings."
        )


def parameter_hash(params: Any) -> str:
    """sha256 of names, shapes and values of a tree of arrays, in hex."""
    digest = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        array = np.asarray(leaf, np.float32)
        digest.update(f"{jax.tree_util.keystr(path)} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array, "<f4").tobytes())
    return digest.hexdigest()
