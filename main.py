"""Trains, scores and samples score-based models; `python main.py --help` says how."""

import sys

from absl import app, flags, logging
from ml_collections import config_flags

FLAGS = flags.FLAGS
config_flags.DEFINE_config_file(
    "config",
    None,
    "The experiment: a file of configs/, with a variant after a colon. "
    "Any value can be set: --config.training.batch_size=64.",
)
flags.DEFINE_enum("mode", "train", ["train", "eval", "sample"], "What to do.")
flags.DEFINE_string("workdir", None, "Where everything is written; runs/<config> by default.")
flags.DEFINE_integer("num_samples", 64, "Images to draw in --mode sample.", lower_bound=1)

EXAMPLES = """
    python main.py --config configs/subvp/digits.py --mode train
    python main.py --config configs/subvp/digits.py --mode eval
    python main.py --config configs/subvp/digits.py --mode sample --num_samples 100
"""


def main(argv: list[str]) -> int:
    """Runs one verb; returns the exit code."""
    if len(argv) > 1:
        return fail(f"unexpected argument {argv[1]!r}; options look like --config FILE")
    if FLAGS.config is None:
        return fail(f"--config is missing, for example{EXAMPLES}")
    # Imported late, so that --help and mistakes on the command line answer at once.
    import run_lib
    from scoresde_jax import reports

    logging.set_verbosity(logging.WARNING)
    try:
        return run_lib.run(
            FLAGS.config,
            mode=FLAGS.mode,
            workdir=FLAGS.workdir or run_lib.default_workdir(config_path()),
            num_samples=FLAGS.num_samples,
        )
    except run_lib.UserError as error:
        return fail(str(error))
    except reports.RunError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


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
        return FLAGS(argv)
    except (flags.Error, ValueError, TypeError, AttributeError, KeyError, OSError) as error:
        sys.exit(fail(str(error)))


if __name__ == "__main__":
    app.run(main, flags_parser=parse)
