"""How good samples are: distances of their features from those of real images, with intervals.

Every number comes with what it depends on (`evaluation.Provenance`), and is refused where it would
compare what cannot be compared.
"""

import hashlib
import json
import math
import pathlib
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from scoresde_jax import build, data, evaluation, files, programs, shards, workdirs
from scoresde_jax.evaluation import (
    provenance,
    sample_files,
    statistics_files,
)
from scoresde_jax.evaluation.extractors import Extractor, as_levels
from scoresde_jax.evaluation.frechet_errors import frechet_with_errors
from scoresde_jax.guidance import class_labels
from scoresde_jax.progress import Progress

FEATURES_KEPT = 50_000  # of a reference, for KID, precision and recall
FEWEST = 4  # images of either kind, for KID and precision


def statistics(
    dataset: data.Dataset,
    split: str,
    extractor: Extractor,
    progress: Progress | None = None,
) -> statistics_files.Statistics:
    """Moments of all images of a data set, and features of the first FEATURES_KEPT."""
    if dataset.levels is None:
        raise ValueError(
            "distances are of images in levels, and these data are continuous; compare samples of "
            "theirs with features of your own."
        )
    sums, kept, logits, done = evaluation.no_sums(extractor.dims), [], [], 0
    size = 256
    for first in range(0, len(dataset.images), size):
        images = np.asarray(dataset.images[first : first + size])
        wanted = as_levels(images, levels=dataset.levels, wanted=extractor.levels)
        pool, scores = extractor.all(wanted, size)
        sums = sums.update(pool)
        if done < FEATURES_KEPT:
            kept.append(pool)
            logits += [] if scores is None else [scores]
        done += len(images)
        if progress is not None:
            progress.update(done)
    origin = provenance.Provenance(
        extractor=extractor.name,
        extractor_hash=extractor.hash,
        resize=extractor.resize,
        rounding="exact",
        images=done,
        source=f"{dataset.name}/{split} {'x'.join(map(str, dataset.images.shape[1:]))}",
    )
    features = np.concatenate(kept)[:FEATURES_KEPT]
    scores = np.concatenate(logits)[:FEATURES_KEPT] if logits else None
    return statistics_files.Statistics(sums.moments(), features, scores, origin)


def reference(
    config: build.Config,
    extractor: Extractor,
    train_set: data.Dataset,
) -> statistics_files.Statistics:
    """What samples are compared with: config.eval.statistics, or else the training split.

    Raises:
      ValueError: the file is not one of statistics, or of another extractor, or of too few images.
    """
    path = config.eval.statistics
    if path is None:
        progress = Progress("reference", len(train_set.images), unit="image")
        found = statistics(train_set, "train", extractor, progress)
        progress.close()
    else:
        found = _read(path, extractor)
    if found.features is not None and len(found.features) < FEWEST:
        raise ValueError(
            f"samples are compared with {FEWEST} images or more; got {len(found.features)} from "
            f"{path or 'the training split'}."
        )
    return found


def _read(path: str, extractor: Extractor) -> statistics_files.Statistics:
    if not pathlib.Path(path).is_file():
        raise ValueError(f"config.eval.statistics is {path!r}, which is no file.")
    found = statistics_files.read(path)
    if len(found.moments.mean) != extractor.dims:
        raise ValueError(
            f"{path} has {len(found.moments.mean)} features, and {extractor.name} has "
            f"{extractor.dims}; make statistics with --mode stats and this extractor."
        )
    if found.provenance is not None:
        own = provenance.Provenance(
            extractor.name, extractor.hash, extractor.resize, "exact", 0, "model"
        )
        provenance.check_same_features(own, found.provenance)
    return found


def draw(
    experiment: build.Experiment,
    params: Any,
    guided: tuple[build.Guided, Any],
    config: build.Config,
    step: int,
    folder: pathlib.Path,
    mesh: Mesh,
    progress: Progress,
) -> Iterator[shards.Columns]:
    """config.eval.num_samples images with the sampler of config.sampling, in shards that are kept.

    Everything is checked when this is called, and drawn as the iterator goes.

    Args:
      guided: the score that is sampled, and the parameters of what guides it.
      folder: of folders, one for each of what samples depend on, and named for the step.

    Yields:
      "images" (n, H, W, C) uint8 pixels, "nfe" and "converged" (n,).

    Raises:
      ValueError: the folder holds something else.
      files.NoRoom: they do not fit on its disk.
    """
    size, count = config.sampling.batch_size, config.eval.num_samples
    score, others = guided
    program = programs.sampling_program(experiment, size, mesh, score.score_fn)
    key = jax.random.key(config.eval.seed)

    def shard(number: int) -> shards.Columns:
        labels = _labels(config, score.classes, number)
        every = params, others, labels
        found = jax.device_get(program(every, jax.random.fold_in(key, number)))
        return dict(zip(("images", "nfe", "converged"), found, strict=True))

    origin = work(config, step, mesh, params, others)
    digest = hashlib.sha256(json.dumps(files.plain(origin), sort_keys=True).encode()).hexdigest()
    return sample_files.samples(
        folder / f"{step}_{digest[:8]}",
        count,
        shard,
        size=size,
        image_bytes=math.prod(experiment.image_shape),
        work=origin,
        progress=progress.update,
    )


def _labels(config: build.Config, classes: int, number: int) -> np.ndarray | None:
    """The classes asked for in a shard, as if all were numbered through; None without classes."""
    if not classes:
        return None
    size, asked = config.sampling.batch_size, config.sampling.guidance.image_class
    return np.asarray(class_labels(asked, classes, (number + 1) * size))[-size:]


def work(config: build.Config, step: int, mesh: Mesh, params: Any, others: Any) -> dict[str, Any]:
    """All that samples depend on, JSON; `others` are the parameters of what guides them."""
    parts = {name: config[name].to_dict() for name in ("sde", "parameterization", "model")}
    images, sampling = config.data.to_dict(), config.sampling
    return parts | {
        "step": step,
        "parameters": provenance.parameter_hash(params),
        "seed": config.eval.seed,
        "devices": mesh.size,
        "guidance": guidance_of(config, others),
        "data": {key: images[key] for key in images if key not in workdirs.FREE_KEYS},
        "sampling": {
            "method": sampling.method,
            "settings": sampling[sampling.method].to_dict(),
            "batch_size": sampling.batch_size,
            "latents": sampling.latents,
        },
    }


def guidance_of(config: build.Config, others: Any) -> dict[str, Any] | None:
    """How samples are guided, with a hash of what guides them; None if they are not."""
    section = config.sampling.guidance.to_dict()
    if section["method"] == "none":
        return None
    del section["weaker"]  # a path; its parameters are what counts
    guide = provenance.parameter_hash(others) if jax.tree.leaves(others) else None
    return files.plain(section | {"guide_hash": guide})


def results(
    config: build.Config,
    step: int,
    guidance: dict[str, Any] | None,
    drawn: shards.Columns,
    extractor: Extractor,
    real: statistics_files.Statistics,
) -> dict[str, Any]:
    """Every distance that the reference allows, as eval/quality.json has them.

    Args:
      guidance: as `guidance_of` says it.
    """
    levels = config.data.levels or 256
    images = as_levels(drawn["images"], levels=256, wanted=extractor.levels)
    features, logits = extractor.all(images)
    method = config.sampling.method
    origin = provenance.Provenance(
        extractor=extractor.name,
        extractor_hash=extractor.hash,
        resize=extractor.resize,
        rounding=f"nearest of {levels} levels" if levels != 256 else "nearest",
        images=len(features),
        source="model",
        reference=real.provenance.source if real.provenance else str(config.eval.statistics),
        reference_images=real.moments.count,
        sampler=method,
        settings=config.sampling[method].to_dict() | {"batch_size": config.sampling.batch_size},
        guidance=guidance,
        nfe=float(drawn["nfe"].mean()),
        step=step,
        ema=True,
        seed=config.eval.seed,
    )
    distance = frechet_with_errors(features, real.moments, config.eval.seed)
    found: dict[str, Any] = {"frechet_distance": distance}
    if real.features is not None:
        kernel = evaluation.kernel_distance(features, real.features, seed=config.eval.seed)
        of = {"reference_features": len(real.features)}
        found["kernel_distance"] = kernel._asdict() | of
        shares = evaluation.precision_recall(real.features, features)
        for name, share in (("precision", shares.precision), ("recall", shares.recall)):
            value = {"mean": share.value, "standard_error": share.standard_error, "k": shares.k}
            found[name] = value | of
    if logits is not None and len(logits) >= 10:
        found["inception_score"] = evaluation.inception_score(logits)._asdict()
    failed = np.flatnonzero(~drawn["converged"]).tolist()
    return found | {"not_converged": failed, "provenance": origin.to_json()}


def lines(found: dict[str, Any]) -> list[str]:
    """What is printed of results."""
    origin, distance = found["provenance"], found["frechet_distance"]
    said = [f"{_distance(distance)} ({origin['extractor']}, {origin['images']:,} images)"]
    for name in ("kernel_distance", "precision", "recall"):
        if name in found:
            value = found[name]
            label = name.replace("_", " ")
            said.append(f"{label} {value['mean']:.4f} +- {value['standard_error']:.4f}")
    if "inception_score" in found:
        score = found["inception_score"]
        said.append(f"Inception Score {score['mean']:.2f} in {score['splits']} splits")
    for name, distance in found.get("yardsticks", {}).items():
        of = f"{distance['sets']} x " if distance["sets"] > 1 else ""
        said.append(f"  {name}: {_distance(distance)}, {of}{distance['images']:,} images")
    return said


def _distance(distance: dict[str, Any]) -> str:
    said = f"Frechet distance {distance['mean']:.3f}"
    if "interval" in distance:
        low, high = distance["interval"]
        said += f" [{low:.3f}, {high:.3f}]"
    elif "standard_error" in distance:
        said += f" +- {distance['standard_error']:.3f}"
    if "extrapolated" in distance:
        line = distance["extrapolated"]
        said += f", of infinitely many images {line['mean']:.3f} +- {line['standard_error']:.3f}"
    return said
