"""Statistics of a set of images in a file: what it is compared by, made once.

Read here, all of them .npz, none of them executed:

    mu, sigma                 mean and covariance          ours, EDM, clean-fid, pytorch-fid
    pool_3, or with logits    features of every image      score_sde
    feats                     the same                     clean-fid, for KID
    features                  the same, of any extractor   a user's own

Ours hold `n` and `provenance` (UTF-8 JSON as uint8) as well, and may hold features beside moments.
Files of others do not say which network and resize rule made them: that is for the user to know.
"""

import json
import zipfile
from typing import NamedTuple

import numpy as np

from scoresde_jax import files
from scoresde_jax.evaluation.moments import Moments, moments
from scoresde_jax.evaluation.provenance import Provenance

FEATURE_NAMES = ("features", "pool_3", "feats")


class Statistics(NamedTuple):
    """What is known of a set of images."""

    moments: Moments
    features: np.ndarray | None = None  # (N, d); None: KID, precision and recall cannot be had
    logits: np.ndarray | None = None  # (N, classes)
    provenance: Provenance | None = None  # None for files of others


def write(path: files.Path, statistics: Statistics) -> None:
    """Writes a file that `read` gives back, and that other programs read as mu, sigma."""
    found, mean = {}, statistics.moments.mean
    found["mu"], found["sigma"] = mean, statistics.moments.covariance
    if statistics.moments.count is not None:
        found["n"] = np.asarray(statistics.moments.count)
    for name in ("features", "logits"):
        values = getattr(statistics, name)
        if values is not None:
            found[name] = values
    if statistics.provenance is not None:
        text = json.dumps(statistics.provenance.to_json(), allow_nan=False)
        found["provenance"] = np.frombuffer(text.encode(), np.uint8)
    files.write_npz(path, found)


def read(path: files.Path) -> Statistics:
    """Reads a statistics file of any of the kinds above.

    Raises:
      ValueError: it is not one, holds Python objects, or its arrays do not fit together.
      OSError: it cannot be read.
    """
    with open(path, "rb") as stream:
        try:
            if not zipfile.is_zipfile(stream):
                raise ValueError("it is no whole .npz")
            stream.seek(0)
            with np.load(stream, allow_pickle=False) as file:
                held = {name: file[name] for name in file.files if name in _KNOWN}
                others = [name for name in file.files if name not in _KNOWN]
            return _statistics(held, others)
        except (OSError, *files.UNREADABLE) as error:
            reason = "it holds Python objects, which are not read" if _pickled(error) else error
            raise ValueError(
                f"{path} is no statistics file: {reason}. Expected a .npz of mu and sigma, or of "
                f"{', '.join(FEATURE_NAMES)}; --mode stats makes one."
            ) from error


_KNOWN = ("mu", "sigma", "n", "logits", "provenance", *FEATURE_NAMES)


def _pickled(error: Exception) -> bool:
    """Whether numpy refused because reading would have run a pickle."""
    return "allow_pickle" in str(error)


def _statistics(held: dict[str, np.ndarray], others: list[str]) -> Statistics:
    features = next((held[name] for name in FEATURE_NAMES if name in held), None)
    if features is not None:
        features = features.reshape(len(features), -1)  # pool_3 may be (N, 1, 1, 2048)
    if "mu" in held and "sigma" in held:
        found = _given_moments(held)
    elif features is not None:
        found = moments(features)
    else:
        raise ValueError(f"it holds {', '.join([*held, *others]) or 'nothing'}")
    if features is not None and features.shape[1] != len(found.mean):
        raise ValueError(f"features are {features.shape}, and mu is {found.mean.shape}")
    return Statistics(found, features, held.get("logits"), _provenance(held))


def _given_moments(held: dict[str, np.ndarray]) -> Moments:
    mean, covariance = (np.asarray(held[name], np.float64) for name in ("mu", "sigma"))
    if mean.ndim != 1 or covariance.shape != mean.shape * 2:
        raise ValueError(f"mu is {mean.shape} and sigma {covariance.shape}")
    if not (np.all(np.isfinite(mean)) and np.all(np.isfinite(covariance))):
        raise ValueError("mu or sigma is not finite")
    # 1e-5: files of float32 are symmetric to rounding only.
    if not np.allclose(covariance, covariance.T, rtol=1e-5, atol=1e-5 * np.abs(covariance).max()):
        raise ValueError("sigma is not symmetric")
    count = int(held["n"]) if "n" in held else None
    return Moments(mean, (covariance + covariance.T) / 2, count)


def _provenance(held: dict[str, np.ndarray]) -> Provenance | None:
    if "provenance" not in held:
        return None
    return Provenance.from_json(json.loads(held["provenance"].tobytes().decode()))
