"""What main.py runs: the verbs of `scoresde_jax/verbs/` by name, and their errors as exit codes."""

import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

from scoresde_jax import build, reports, verbs


class Verb(NamedTuple):
    """A function (config, workdir, **options) -> exit code, and the names of its options."""

    function: Callable[..., int]
    options: tuple[str, ...] = ()


VERBS = {
    "train": Verb(verbs.train),
    "train_dequantizer": Verb(verbs.train_dequantizer),
    "train_classifier": Verb(verbs.train_classifier),
    "eval": Verb(verbs.evaluate),
    "sample": Verb(verbs.sample, ("num_samples",)),
    "restore": Verb(verbs.restore, ("input",)),
    "sweep": Verb(verbs.sweep),
    "report": Verb(verbs.report),
    "data": Verb(verbs.describe_data),
    "features": Verb(verbs.train_features),
    "stats": Verb(verbs.write_statistics),
    "import": Verb(verbs.import_weights, ("source",)),
    "export": Verb(verbs.export_weights),
}


def run(config: build.Config, *, mode: str, workdir: str | pathlib.Path, **options: Any) -> int:
    """Runs one verb in a workdir; returns the exit code.

    Args:
      mode: a name of VERBS.
      options: `num_samples`, `source`, `input`; each verb takes its own of them.

    Raises:
      UserError: config, data or workdir do not fit.
      RunError: training diverged, the disk is full, or an image cannot be used.
    """
    verb = VERBS[mode]
    own = {name: options[name] for name in verb.options if name in options}
    with verbs.user_errors():
        config = build.resolve(config)
    with reports.disk_errors(), reports.data_errors():
        return verb.function(config, pathlib.Path(workdir), **own)


def command(config: build.Config, **arguments: Any) -> int:
    """`run` for a command line: what goes wrong is one message; returns the exit code."""
    try:
        return run(config, **arguments)
    except verbs.UserError as error:
        verbs.say(f"error: {error}")
        return 2
    except reports.RunError as error:
        verbs.say(f"error: {error}")
        return 1
    except KeyboardInterrupt:
        verbs.say("interrupted")
        return 130


def default_workdir(config_file: str) -> pathlib.Path:
    """runs/<sde>-<dataset>-<variant> for configs/<sde>/<dataset>.py:<variant>."""
    file, _, variant = config_file.partition(":")
    path = pathlib.Path(file)
    return pathlib.Path("runs") / f"{path.resolve().parent.name}-{path.stem}-{variant or 'default'}"
