"""Checkpoints: the state, the position in the data and the resolved config, saved together.

Saving is asynchronous: arrays are copied to the host at once and written while training goes on.
Orbax writes under a temporary name and renames; what a crash cut off is never restored.
"""

import contextlib
import logging
import pathlib
from collections.abc import Iterator
from typing import Any

import jax
import orbax.checkpoint as ocp

from scoresde_jax import files
from scoresde_jax.training.state import TrainState

# Through absl orbax reports every save and restore, and pages of what it then raises as well.
logging.getLogger("absl").setLevel(logging.CRITICAL)


class Checkpoints:
    """The checkpoints of one run, by step."""

    def __init__(self, directory: str | pathlib.Path, *, keep: int = 3):
        """Names a directory; nothing is made or tidied up before the first save.

        Args:
          keep: newest checkpoints kept; older ones are deleted.
        """
        self._directory = pathlib.Path(directory).resolve()
        self._keep = keep
        self._manager: ocp.CheckpointManager | None = None
        self._writing = False

    def save(self, state: TrainState, *, config: dict[str, Any], data: dict[str, Any]) -> None:
        """Saves a state under its own step, unless that step is saved already.

        Args:
          config: the resolved config, JSON.
          data: the position in the data, JSON.

        Raises:
          files.NoRoom: the disk is full, which may come to light at the next save, or in `close`.
        """
        manager = self._open(writing=True)
        step = int(state.step)
        if step in manager.all_steps():
            return
        arguments = ocp.args.Composite(
            state=ocp.args.StandardSave(state),
            meta=ocp.args.JsonSave({"config": config, "data": data}),
        )
        with self._full_disk():
            manager.save(step, args=arguments, force=True)

    def latest_step(self) -> int | None:
        """Step of the newest whole checkpoint; None where there is none."""
        return self._open().latest_step() if self._directory.is_dir() else None

    def steps(self) -> list[int]:
        """Steps of all whole checkpoints, in order; those that came since the last look as well."""
        if not self._directory.is_dir():
            return []
        manager = self._open()
        manager.reload()
        return sorted(manager.all_steps())

    def meta(self, step: int) -> dict[str, Any]:
        """The {"config", "data"} saved with a step."""
        restored = self._open().restore(step, args=ocp.args.Composite(meta=ocp.args.JsonRestore()))
        return restored["meta"]

    def restore(
        self, step: int, like: TrainState, sharding: jax.sharding.NamedSharding
    ) -> TrainState:
        """The state saved at a step, on the devices of `sharding`, whatever it was saved on.

        Args:
          like: a state of arrays or shapes, as `jax.eval_shape` gives.
        """
        target = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), like
        )
        arguments = ocp.args.Composite(state=ocp.args.StandardRestore(target))
        return self._open().restore(step, args=arguments)["state"]

    def wait(self) -> None:
        """Blocks until what was saved is on disk."""
        if self._manager is not None:
            with self._full_disk():
                self._manager.wait_until_finished()

    def close(self) -> None:
        """Finishes writing and lets go of the directory."""
        manager, self._manager = self._manager, None
        if manager is not None:
            with self._full_disk():
                manager.close()

    @contextlib.contextmanager
    def _full_disk(self) -> Iterator[None]:
        """Names what orbax's array files call a ValueError, with a page of text."""
        try:
            yield
        except ValueError as error:
            if "No space left on device" not in str(error):
                raise
            raise files.NoRoom(
                f"the disk of {self._directory} is full; this checkpoint is lost, and those before "
                "it are whole. Make room, and the same command goes on from the last."
            ) from error

    def _open(self, *, writing: bool = False) -> ocp.CheckpointManager:
        """The manager; one that only reads leaves alone what another run is saving just now."""
        if writing and not self._writing:
            self.close()
        if self._manager is None:
            self._writing = writing
            options = ocp.CheckpointManagerOptions(
                max_to_keep=self._keep if writing else None,
                enable_async_checkpointing=writing,
                cleanup_tmp_directories=writing,
                read_only=not writing,
            )
            self._manager = ocp.CheckpointManager(
                self._directory,
                options=options,
                item_handlers={
                    "state": ocp.StandardCheckpointHandler(),
                    "meta": ocp.JsonCheckpointHandler(),
                },
            )
        return self._manager
