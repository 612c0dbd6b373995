"""What a run says about itself: metrics.jsonl and TensorBoard scalars."""

import json
import pathlib

from tensorboardX import SummaryWriter

from scoresde_jax import files


class Records:
    """Metrics by step, in `metrics.jsonl` and `tensorboard/` of a workdir.

    On resuming from a checkpoint, lines past its step are cut off: they will be made again.
    """

    def __init__(self, workdir: str | pathlib.Path, *, start: int):
        """Opens the records of a run that goes on from step `start`."""
        self.start = start
        workdir = pathlib.Path(workdir)
        self._path = workdir / "metrics.jsonl"
        kept = [line for line in _lines(self._path) if json.loads(line)["step"] <= start]
        files.write(self._path, lambda stream: stream.write("".join(kept).encode()))
        self._stream = open(self._path, "a")
        self._board = SummaryWriter(str(workdir / "tensorboard"), purge_step=start + 1)

    def write(self, step: int, metrics: dict[str, float]) -> None:
        """Adds one line {"step": ..., name: value, ...} and one scalar per name."""
        self._stream.write(json.dumps({"step": step, **metrics}) + "\n")
        self._stream.flush()
        for name, value in metrics.items():
            self._board.add_scalar(name, value, step)

    def close(self) -> None:
        """Flushes and closes both."""
        self._stream.close()
        self._board.close()


def read_records(workdir: str | pathlib.Path) -> list[dict[str, float]]:
    """The lines of a workdir's metrics.jsonl, in order."""
    return [json.loads(line) for line in _lines(pathlib.Path(workdir) / "metrics.jsonl")]


def _lines(path: pathlib.Path) -> list[str]:
    """Whole lines only: a crash may have cut the last one."""
    if not path.exists():
        return []
    return [line for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]
