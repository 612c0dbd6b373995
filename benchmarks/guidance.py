"""How often a digit drawn on request is the one asked for, by guidance and scale.

    python -m benchmarks.guidance --variant best --workdir runs/best --method classifier \\
        --scales 1 2 4

Draws as many of every class, has the classifier of `--mode features` (never the guide) say what
they are, and measures their distance from the training images, beside that of as many unguided
draws and of the test images: both of the whole set and, class by class, of what is of the class.
Needs a workdir with features/classifier.npz, and for method `classifier` with a trained guide.
"""

import argparse
import pathlib
import sys
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from configs.subvp import digits
from scoresde_jax import build, evaluation, programs, sharding, tasks, workdirs
from scoresde_jax.evaluation import frechet
from scoresde_jax.evaluation.extractors import Extractor, as_levels
from scoresde_jax.progress import Progress
from scoresde_jax.verbs.guide import open_guidance

HEADER = (
    "| method | scale | recognised | least of a class | distance | of a class |\n"
    + "|---" * 6
    + "|"
)


def main() -> int:
    """Prints a table in Markdown, a row for each scale."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--variant", default="conditional", help="of configs/subvp/digits.py")
    parser.add_argument("--workdir", type=pathlib.Path, required=True)
    parser.add_argument("--method", default="classifier_free", help="of sampling.guidance")
    parser.add_argument("--scales", type=float, nargs="+", default=[1.0])
    parser.add_argument("--interval", type=float, nargs=2, default=[0.0, 1.0], help="of times")
    parser.add_argument("--draws", type=int, default=50, help="of each class")
    parser.add_argument("--solver", default="dpm_solver_2m", help="of sampling.grid")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    sharding.split_cpu(None)
    config = digits.get_config(arguments.variant)
    config.sampling.method = "grid"
    config.sampling.grid.update({"solver": arguments.solver, "steps": arguments.steps})
    config.eval.extractor = "classifier"
    config = build.resolve(config)

    train_set, test_set = build.dataset(config, "train"), build.dataset(config, "test")
    extractor = build.extractor(config, arguments.workdir, lambda: train_set)
    real = Judge(extractor, train_set.levels, train_set.images, train_set.labels)
    test = real.of(test_set.images, test_set.labels)
    print(
        f"real test images recognised: {test['overall']:.1%}, least of a class "
        f"{test['least']:.1%}; distance {test['distance']:.2f}, of a class {test['of_a_class']:.2f}"
    )
    print(HEADER)
    unguided = ConfigDict(config.to_dict())
    unguided.sampling.guidance.method = "none"
    images, _ = draw(unguided, arguments, labelled=False)
    print(_row("none", "", real.of(images, None)), flush=True)
    for scale in arguments.scales:
        guidance = {"method": arguments.method, "scale": scale}
        config.sampling.guidance.update(guidance | {"interval": tuple(arguments.interval)})
        images, labels = draw(config, arguments, labelled=True)
        print(_row(arguments.method, f"{scale:g}", real.of(images, labels)), flush=True)
    return 0


class Judge:
    """Real images by class, and what drawn ones are beside them."""

    def __init__(self, extractor: Extractor, levels: int | None, images: Any, labels: Any):
        self._extractor, self._levels = extractor, levels
        features, _ = self._features(images)
        self._all = evaluation.moments(features)
        self._classes = {
            int(label): evaluation.moments(features[labels == label]) for label in np.unique(labels)
        }

    def _features(self, images: Any) -> tuple[np.ndarray, np.ndarray]:
        levels = self._levels or 256
        wanted = as_levels(np.asarray(images), levels=levels, wanted=self._extractor.levels)
        features, logits = self._extractor.all(wanted)
        assert logits is not None, "a classifier has logits"
        return features, np.argmax(logits, axis=1)

    def of(self, images: np.ndarray, labels: np.ndarray | None) -> dict[str, float]:
        """Shares recognised, overall and of the worst class, and distances, of all and of a class.

        Without labels an image is of the class that it is taken for.
        """
        features, found = self._features(images)
        asked = found if labels is None else labels
        shares = [np.mean(found[asked == label] == label) for label in np.unique(asked)]
        apart = [
            frechet.frechet_distance(evaluation.moments(features[asked == label]), moments)
            for label, moments in self._classes.items()
            if np.sum(asked == label) > 1
        ]
        return {
            "overall": float(np.mean(found == asked)),
            "least": float(min(shares)),
            "distance": frechet.frechet_distance(evaluation.moments(features), self._all),
            "of_a_class": float(np.mean(apart)),
        }


def draw(
    config: build.Config, arguments: argparse.Namespace, *, labelled: bool
) -> tuple[np.ndarray, np.ndarray | None]:
    """Images (N, H, W, C) in levels of the data, and the classes asked for (N,)."""
    mesh = sharding.device_mesh()
    experiment = build.experiment(config)
    run = workdirs.open_run(
        tasks.score_task(experiment, config), config, arguments.workdir, mesh, must_exist=True
    )
    guided, others = open_guidance(config, experiment, arguments.workdir, mesh)
    classes = guided.classes or config.guide.classes  # without guidance as many images
    count, size = classes * arguments.draws, config.sampling.batch_size
    labels = np.arange(-(-count // size) * size, dtype=np.int32) % classes
    program = programs.sampling_program(experiment, size, mesh, guided.score_fn)
    progress, parts = Progress("draw", count, unit="image"), []
    for first in range(0, count, size):
        asked = labels[first : first + size] if labelled else None
        key = jax.random.fold_in(jax.random.key(arguments.seed), first)
        parts.append(jax.device_get(program((run.state.ema_params, others, asked), key)[0]))
        progress.update(min(first + size, count))
    progress.close()
    levels = config.data.levels
    images = as_levels(np.concatenate(parts)[:count], levels=256, wanted=levels)
    return images, labels[:count] if labelled else None


def _row(method: str, scale: str, found: dict[str, float]) -> str:
    shares = f"{found['overall']:.1%} | {found['least']:.0%}" if scale else " | "
    return (
        f"| {method} | {scale} | {shares} | {found['distance']:.2f} | {found['of_a_class']:.2f} |"
    )


if __name__ == "__main__":
    sys.exit(main())
