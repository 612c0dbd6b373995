"""Workdirs: where a run keeps its checkpoints and its config.

Everything is checked before anything is written, and what is written is whole or absent.
"""

import os
import pathlib
import re
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import jax

from scoresde_jax import build, files, sharding, training
from scoresde_jax.tasks import Task
from scoresde_jax.types import Array

# Of the sections that give parameters their meaning, keys that do not: where the data are, and how
# a network is computed.
FREE_KEYS = (
    *("data_dir", "path", "on_corrupt", "test_fraction", "workers"),
    *("dtype", "remat_resolutions"),
)
# Keys that are younger than some checkpoints, and what held before.
BEFORE = {"image_classes": 0, "class_dropout": 0.1}
POLL = 5.0  # seconds between looks at a folder that is waited for


class Trained(NamedTuple):
    """The newest state of a workdir, or a fresh one, and where it lives."""

    mesh: jax.sharding.Mesh
    checkpoints: training.Checkpoints
    state: training.TrainState
    start: int  # the state's step
    position: dict[str, Any]  # in the data


def open_run(
    task: Task,
    config: build.Config,
    workdir: pathlib.Path,
    mesh: jax.sharding.Mesh,
    *,
    must_exist: bool = False,
    step: int | None = None,
) -> Trained:
    """Reads a checkpoint, the newest if no step is given, or draws parameters.

    Raises:
      ValueError: the workdir cannot be used, holds another model, has lost the step, or is empty
        and must not be.
    """
    _check_writable(workdir)
    key = jax.random.key(task.section.seed)
    fresh = partial(_fresh_state, task)
    shapes = jax.eval_shape(fresh, key)
    checkpoints = training.Checkpoints(workdir / "checkpoints", keep=task.section.keep_checkpoints)
    start = checkpoints.latest_step() if step is None else step
    sharding.check_agreed(-1 if start is None else start, f"the checkpoints of {workdir}")
    if start is None:
        if must_exist:
            raise ValueError(
                f"{workdir} has no checkpoint; train first, with the same command and "
                f"--mode {task.name}, or name another --workdir."
            )
        state = jax.jit(fresh, out_shardings=sharding.replicated(mesh))(key)
        return Trained(mesh, checkpoints, state, 0, {"next_index": 0})
    if step is not None and step not in checkpoints.steps():
        raise ValueError(
            f"{workdir} has no checkpoint of step {step} any more, only of {checkpoints.steps()}: "
            f"training keeps the newest. Raise config.{task.where}.keep_checkpoints."
        )
    meta = checkpoints.meta(start)
    check_same_model(
        config,
        meta["config"],
        task.meaning,
        f"{workdir} holds a checkpoint",
        "Name another --workdir, or go back to those settings.",
    )
    state = checkpoints.restore(start, shapes, sharding.replicated(mesh))
    return Trained(mesh, checkpoints, state, start, meta["data"])


def chosen_steps(workdir: pathlib.Path, which: str, wait: float) -> Iterator[int | None]:
    """Steps of the checkpoints that `config.eval.checkpoint` names, as they are there.

    Args:
      which: "latest" (a None, for the newest); "best", of those kept the one of the lowest
        evaluation loss; or "100..900", all from a step to another.
      wait: seconds to wait for the next checkpoint of a range; 0 takes those that are there.

    Raises:
      ValueError: `which` is none of these, or no checkpoint is what it names.
    """
    if which == "latest":
        yield None
        return
    checkpoints = training.Checkpoints(workdir / "checkpoints")
    try:
        yield from _steps_of(workdir, checkpoints, which, wait)
    finally:
        checkpoints.close()


def _steps_of(
    workdir: pathlib.Path, checkpoints: training.Checkpoints, which: str, wait: float
) -> Iterator[int]:
    there = checkpoints.steps()
    if which == "best":
        losses = training.read_records(workdir)
        at = {row["step"]: row["eval_loss"] for row in losses if "eval_loss" in row}
        known = {step: at[step] for step in there if step in at}
        if not known:
            raise ValueError(
                f"config.eval.checkpoint is 'best', and no checkpoint of {workdir} (steps {there}) "
                "has an evaluation loss of its step in metrics.jsonl; name 'latest', or make "
                "config.training.checkpoint_every a multiple of .eval_every."
            )
        yield min(known, key=lambda step: known[step])
        return
    bounds = re.fullmatch(r"(\d+)\.\.(\d+)", which)
    if bounds is None or int(bounds[1]) > int(bounds[2]):
        raise ValueError(
            f"config.eval.checkpoint is {which!r}; expected 'latest', 'best' or a range of steps "
            "such as '100..900'."
        )
    first, last = int(bounds[1]), int(bounds[2])
    done, waited = first - 1, 0.0
    while True:
        new = [step for step in checkpoints.steps() if done < step <= last]
        if new:
            done, waited = new[0], 0.0
            yield done
        elif waited >= wait or done == last:
            break
        else:
            time.sleep(min(POLL, wait - waited))
            waited += POLL
    if done < first:
        raise ValueError(
            f"{workdir} has no checkpoint within config.eval.checkpoint={which}; there are "
            f"{checkpoints.steps()}."
        )


def check_new(workdir: pathlib.Path) -> None:
    """Raises ValueError unless a first checkpoint can be put there."""
    _check_writable(workdir)
    step = training.Checkpoints(workdir / "checkpoints").latest_step()
    if step is not None:
        raise ValueError(
            f"{workdir} has a checkpoint already, of step {step}; name another --workdir."
        )


def begin(
    workdir: pathlib.Path,
    state: training.TrainState,
    *,
    config: dict[str, Any],
    data: dict[str, Any],
) -> None:
    """Saves a first checkpoint and the config; after a failure the workdir is as it was.

    Args:
      config: the resolved config, JSON.
      data: the position in the data, JSON.
    """
    step = str(int(state.step))
    existing = next(path for path in (workdir, *workdir.absolute().parents) if path.is_dir())
    with tempfile.TemporaryDirectory(dir=existing, prefix=".begin-") as scratch:
        checkpoints = training.Checkpoints(scratch)
        checkpoints.save(state, config=config, data=data)
        checkpoints.close()
        folder = workdir / "checkpoints"
        folder.mkdir(parents=True, exist_ok=True)
        files.write_json(workdir / "config.json", config)
        os.replace(pathlib.Path(scratch) / step, folder / step)  # last: now it is a run


def check_same_model(
    config: build.Config,
    stored: dict[str, Any],
    meaning: tuple[str, ...],
    holder: str,
    advice: str,
) -> None:
    """Raises ValueError where a stored config, which may lack sections, has another model.

    Args:
      meaning: the sections that say what the model is.
    """
    ours = files.plain(config.to_dict())
    was = {section: BEFORE | stored[section] for section in meaning if section in stored}
    changed = [
        f"config.{section}.{key} is {ours[section].get(key)!r}, was {old.get(key)!r}"
        for section, old in was.items()
        for key in sorted(ours[section].keys() | stored[section].keys())
        if ours[section].get(key) != old.get(key) and key not in FREE_KEYS
    ]
    if changed:
        raise ValueError(f"{holder} of another model: {'; '.join(changed)}. {advice}")


def _check_writable(workdir: pathlib.Path) -> None:
    nearest = next(path for path in (workdir, *workdir.absolute().parents) if path.exists())
    if not (nearest.is_dir() and os.access(nearest, os.W_OK)):
        raise ValueError(
            f"--workdir {workdir} is not a folder that can be written to; name another."
        )


def _fresh_state(task: Task, key: Array) -> training.TrainState:
    return training.create(task.init_params(key), task.optimizer)
