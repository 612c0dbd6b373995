"""What guides the samples of a workdir: its classifier, or the weaker model of another workdir."""

import pathlib
from typing import Any

import jax

from scoresde_jax import build, files, tasks
from scoresde_jax.verbs.common import open_run


def open_guidance(
    config: build.Config,
    experiment: build.Experiment,
    workdir: pathlib.Path,
    mesh: jax.sharding.Mesh,
) -> tuple[build.Guided, Any]:
    """The score that config.sampling.guidance asks for, and the parameters of what guides it.

    Raises:
      ValueError: it cannot be, or what guides is not there or is of other data.
    """
    guided = build.guided(config, experiment)
    if guided.needs == "guide":
        task = tasks.guide_task(experiment, config)
        run = open_run(task, config, workdir / "classifier", mesh, must_exist=True)
        return guided, run.state.ema_params
    if guided.needs == "weaker":
        weaker, params = _weaker(config, mesh)
        return build.guided(config, experiment, weaker), params
    return guided, ()


def _weaker(config: build.Config, mesh: jax.sharding.Mesh) -> tuple[build.Experiment, Any]:
    """The model of config.sampling.guidance.weaker: another network, all else being the same."""
    where = "config.sampling.guidance.weaker"
    workdir = pathlib.Path(config.sampling.guidance.weaker)
    stored = workdir / "config.json"
    if not stored.exists():
        raise ValueError(f"{where} is {workdir}, which has no config.json; name a trained workdir.")
    config = build.with_model(config, files.read_json(stored)["model"])
    experiment = build.experiment(config)
    run = open_run(tasks.score_task(experiment, config), config, workdir, mesh, must_exist=True)
    return experiment, run.state.ema_params
