"""From a file of weights to a model, without a workdir: for notebooks and scripts."""

from pathlib import Path
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from scoresde_jax import interop
from scoresde_jax.build.assemble import Config, Experiment, experiment, resolve

YOUNGEST = ("export", "posterior", "guide_training")  # sections of a config, newest first


class Pretrained(NamedTuple):
    """A model that needs no training."""

    config: Config
    experiment: Experiment
    params: Any  # the averaged ones, float32


def pretrained(path: str | Path, config: Config | None = None) -> Pretrained:
    """Reads a model of any format of `interop`; its score is `experiment.score_fn(params)`.

    Args:
      config: what it was trained with; None where the file says, as our own exports do.

    Raises:
      ValueError: the file does not say, cannot be read, or does not fit the config.
    """
    if config is None:
        stored = interop.stored_config(path)
        if not stored:
            raise ValueError(
                f"{path} does not say what its weights were trained with; give the config too, "
                "as that of configs/ve/cifar10.py."
            )
        config = ConfigDict(stored)
        if missing := [name for name in YOUNGEST if name not in config]:
            raise ValueError(
                f"{path} was exported before there was config.{missing[0]}; give the config too."
            )
    config = resolve(config)
    built = experiment(config)
    weights = interop.read_weights(path, interop.parameter_shapes(built.init_params))
    return Pretrained(config, built, weights.ema_params)
