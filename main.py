"""Trains, scores and samples score-based models, and brings weights in and out.

python main.py --config configs/subvp/digits.py --mode train
python main.py --config configs/subvp/digits.py --mode eval
python main.py --config configs/subvp/digits.py --mode sample --num_samples 100
python main.py --config configs/ve/cifar10.py --mode import --source checkpoint_12 --workdir runs/x
python main.py --config configs/ve/cifar10.py --mode export --workdir runs/x
"""

import difflib
import glob
import os
import runpy
import sys
from typing import Any

from absl import app, flags, logging
from ml_collections import config_flags

FLAGS = flags.FLAGS
MODES = {
    "train": "trains the score network, or goes on where it was",
    "train_dequantizer": "trains, for the score network of the workdir, a flow that dequantizes "
    "its data: a tighter likelihood",
    "train_classifier": "trains a classifier of noisy images, to guide with, and measures it",
    "eval": "scores the test set (bits/dim of the flow and of the bound) and, with "
    "--config.eval.enable_fid, measures samples",
    "sample": "draws images",
    "restore": "restores degraded images, those of the test set or --input, by config.posterior",
    "sweep": "compares samplers: quality against evaluations, a table and a plot",
    "report": "puts all that the workdir holds into report.html",
    "data": "says what the data set contains, and shows it",
    "features": "trains a classifier of small images, whose features samples are measured by",
    "stats": "writes what samples are compared with",
    "import": "makes a workdir of --source, which the others then go on from",
    "export": "writes the parameters to <workdir>/export/params_<step>.safetensors",
}
config_flags.DEFINE_config_file(
    "config",
    None,
    "The experiment: a file of configs/, with a variant after a colon. "
    "Any value can be set: --config.training.batch_size=64.",
)
flags.DEFINE_enum(
    "mode",
    "train",
    list(MODES),
    "What to do. " + " ".join(f"{name} {what}." for name, what in MODES.items()),
)
flags.DEFINE_string("workdir", None, "Where everything is written; runs/<config> by default.")
flags.DEFINE_integer("num_samples", 64, "Images to draw in --mode sample.", lower_bound=1)
flags.DEFINE_string(
    "source",
    None,
    "The file for --mode import: a checkpoint of score_sde or score_flow (JAX), a .pth of "
    "score_sde_pytorch, or what --mode export wrote.",
)
flags.DEFINE_string(
    "input",
    None,
    "The file for --mode restore: a picture, or .npy or .npz with pictures, of the data's "
    "size, or, with --config.posterior.input=degraded, of what the operator makes of it.",
)
flags.DEFINE_integer(
    "cpu_devices",
    None,
    "Without an accelerator: devices to split the CPU into, which share every batch; by default "
    "one per core, at most 4.",
    lower_bound=1,
)
flags.DEFINE_bool(
    "distributed",
    False,
    "In --mode train: joins the processes of a cluster first (a TPU pod, Slurm, Open MPI), each of "
    "which runs this same command.",
)

NO_CONFIG = f"--config is missing, for example\n{(__doc__ or '').partition(chr(10))[2]}"

SOURCE_AND_IMPORT = (
    "--source FILE and --mode import go together: the file is what is imported, and no other mode "
    "reads one."
)

INPUT_AND_RESTORE = "--input FILE goes with --mode restore; no other mode reads one."

DISTRIBUTED_AND_TRAIN = "--distributed goes with --mode train; other modes take one process."


def main(argv: list[str]) -> int:
    """Runs one verb; returns the exit code."""
    if len(argv) > 1:
        return fail(f"unexpected argument {argv[1]!r}; options look like --config FILE")
    if FLAGS.config is None:
        return fail(NO_CONFIG)
    if (FLAGS.source is not None) != (FLAGS.mode == "import"):
        return fail(SOURCE_AND_IMPORT)
    if FLAGS.input is not None and FLAGS.mode != "restore":
        return fail(INPUT_AND_RESTORE)
    if FLAGS.distributed and FLAGS.mode != "train":
        return fail(DISTRIBUTED_AND_TRAIN)
    # Imported late, so that --help and mistakes on the command line answer at once.
    import run_lib
    from scoresde_jax import sharding

    sharding.split_cpu(FLAGS.cpu_devices)
    logging.set_verbosity(logging.FATAL)  # orbax logs what it raises as well
    if FLAGS.distributed:
        try:
            sharding.join_processes()
        except ValueError as error:
            return fail(str(error))
    return run_lib.command(
        FLAGS.config,
        mode=FLAGS.mode,
        workdir=FLAGS.workdir or run_lib.default_workdir(config_path()),
        num_samples=FLAGS.num_samples,
        source=FLAGS.source or "",
        input=FLAGS.input or "",
    )


def config_path() -> str:
    """The value of --config, file and variant."""
    return config_flags.get_config_filename(FLAGS["config"])


def fail(message: str) -> int:
    """Prints one message; 2 is the exit code of a user's mistake."""
    print(f"error: {message}", file=sys.stderr)
    return 2


def parse(argv: list[str]) -> list[str]:
    """Parses flags; a mistake is one message and exit code 2."""
    try:
        check_config_file(argv)
        return FLAGS(argv)
    except (AttributeError, KeyError):  # how config_flags says that a key is unknown
        sys.exit(fail(unknown_key(argv)))
    except flags.IllegalFlagValueError as error:
        # A config file's own error comes wrapped in its traceback; the last line says it.
        message = str(error).strip().splitlines()[-1].removeprefix("ValueError: ")
        sys.exit(fail(message + expected_type(argv, message)))
    except (flags.Error, ValueError, TypeError, OSError) as error:
        sys.exit(fail(str(error).strip()))


def expected_type(argv: list[str], message: str) -> str:
    """What a --config.a.b=... that the message complains of should have been."""
    for name, value in arguments(argv):
        if "." in name and f"--{name}=" in message:
            *path, key = name.split(".")[1:]
            section: Any = FLAGS["config"].value
            for part in path:
                section = section[part]
            kind = section.get_type(key).__name__
            return f"; expected {kind}, like {section[key]!r}, and got {value!r}."
    return ""


def check_config_file(argv: list[str]) -> None:
    """Raises ValueError if --config names no file, or has options and is not there itself."""
    options = arguments(argv)
    if options and "config" not in dict(options):
        raise ValueError(NO_CONFIG)
    for name, value in options:
        file = value.partition(":")[0]
        if name == "config" and not os.path.isfile(file):
            known = sorted(glob.glob("configs/*/*.py"))
            hint = f"; there are {', '.join(known)}" if known else ""
            raise ValueError(f"--config names {file!r}, which is not a file{hint}.")


def unknown_key(argv: list[str]) -> str:
    """Finds the --config.a.b=... that the config has no place for."""
    options = arguments(argv)
    file, _, variant = dict(options)["config"].partition(":")
    config = runpy.run_path(file)["get_config"](variant)
    for name, _ in options:
        section, path = config, name.split(".")
        for depth, key in enumerate(path[1:], 1):
            where = ".".join(path[:depth])
            if not hasattr(section, "keys"):
                return f"--{name}: {where} is {section!r} and has no keys."
            if key not in section:
                near = difflib.get_close_matches(key, section.keys(), n=1)
                hint = f" Did you mean {near[0]!r}?" if near else ""
                known = ", ".join(sorted(section.keys()))
                return f"--{name}: {where} has no key {key!r}; known: {known}.{hint}"
            section = section[key]
    return "an option of the command line names an unknown key"


def arguments(argv: list[str]) -> list[tuple[str, str]]:
    """The (name, value) of every --config option, written --name=value or --name value."""
    found = []
    for position, argument in enumerate(argv):
        name, equals, value = argument.lstrip("-").partition("=")
        if argument.startswith("-") and name.split(".")[0] == "config":
            found.append((name, value if equals else (argv[position + 1 :] or [""])[0]))
    return found


if __name__ == "__main__":
    app.run(main, flags_parser=parse)
