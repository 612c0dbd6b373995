"""What the verbs share: the user's mistakes, messages, the workdir, devices."""

import pathlib
import sys
from typing import Any

import jax

from scoresde_jax import build, reports, sharding, tasks, workdirs


class UserError(ValueError):
    """The user's mistake: what was expected, what came, what to do."""


class user_errors:
    """Turns ValueErrors of what is checked before a run into messages for the user."""

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        if isinstance(error, ValueError):
            raise UserError(reports.explained(error)) from error


def open_run(
    task: tasks.Task,
    config: build.Config,
    workdir: pathlib.Path,
    mesh: jax.sharding.Mesh,
    *,
    must_exist: bool = False,
    step: int | None = None,
) -> workdirs.Trained:
    """A state of the workdir, the newest if no step is given, or a fresh one; says what it is."""
    run = workdirs.open_run(task, config, workdir, mesh, must_exist=must_exist, step=step)
    size = parameter_count(run.state.params)
    say(f"{task.title}, {size:,} parameters; {config.sde.name} SDE; {config.data.name}")
    return run


def mesh_of(config: build.Config, section: str) -> jax.sharding.Mesh:
    """All devices, between which the batches of a section are split evenly."""
    if section != "training":
        sharding.check_one_process()
    mesh = sharding.device_mesh()
    name, batch_size = f"config.{section}.batch_size", config[section].batch_size
    parts = config[section].get("microbatches", 1)
    if parts > 1:
        name, batch_size = f"{name} / microbatches", batch_size // parts
    sharding.check_divisible(name, batch_size, mesh)
    return mesh


def parameter_count(params: Any) -> int:
    """How many numbers a tree of arrays holds."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def say(message: str) -> None:
    """Tells the user what is not a result: on stderr, at once."""
    print(message, file=sys.stderr, flush=True)
