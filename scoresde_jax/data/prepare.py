"""Downloads a data set and stores it so that it can be read without TensorFlow.

    pip install -e '.[tfds]'
    python -m scoresde_jax.data.prepare cifar10 --data_dir ~/tensorflow_datasets
    python -m scoresde_jax.data.prepare cifar10 --archive cifar-10-binary.tar.gz

The one place in the package that needs TensorFlow and a network, and with --archive neither.
Preparing what is already prepared does nothing.
"""

import argparse
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from scoresde_jax.data.cifar_archive import store_cifar10
from scoresde_jax.data.source import check_known
from scoresde_jax.data.tfds import SOURCES, copies, default_data_dir, prepared_dir


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns 0, or exits with 2 when it cannot be done here, saying why."""
    parser = _parser()
    args = parser.parse_args(argv)
    try:
        check_known("data set to prepare", args.name, SOURCES)
    except ValueError as error:
        parser.error(str(error))
    if args.archive and args.name != "cifar10":
        parser.error("only cifar10 can be stored from an --archive")
    if not args.archive and find_spec("tensorflow") is None:
        parser.error(
            f"preparing {args.name} needs TensorFlow, which is not installed; run\n"
            "  pip install -e '.[tfds]'\n"
            "and try again. Nothing else in scoresde_jax needs it."
        )
    data_dir = Path(args.data_dir).expanduser()
    formats = copies(args.name, data_dir)
    if formats and "array_record" not in formats.values():
        path, kind = next(iter(formats.items()))
        parser.error(
            f"{path} holds {args.name} as {kind}, which TFDS will not replace and scoresde_jax "
            "cannot read; move it away, or give another --data_dir."
        )
    if args.archive:
        try:
            published = store_cifar10(Path(args.archive).expanduser(), data_dir)
        except ValueError as error:
            parser.error(str(error))
        print(f"{args.archive} is {'' if published else 'NOT '}the published archive, by sha256")
    else:
        import tensorflow_datasets as tfds

        builder = tfds.builder(
            SOURCES[args.name].builder, data_dir=data_dir, file_format="array_record"
        )
        builder.download_and_prepare()
    print(f"{args.name} is ready in {prepared_dir(args.name, data_dir)}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m scoresde_jax.data.prepare",
        description="Download a data set and store it as array_record, which training reads "
        "without TensorFlow. Needs a network and TensorFlow, once: pip install -e '.[tfds]'. "
        "(digits and emoji come with the package and need no preparation.)",
    )
    parser.add_argument("name", metavar="NAME", help=f"one of: {', '.join(SOURCES)}")
    parser.add_argument(
        "--data_dir",
        metavar="DIR",
        default=str(default_data_dir()),
        help="where to store it; give the same one to training (default: $TFDS_DATA_DIR, "
        "else ~/tensorflow_datasets; now %(default)s)",
    )
    parser.add_argument(
        "--archive",
        metavar="FILE",
        help="store cifar10 from cifar-10-binary.tar.gz, downloaded by hand; needs neither "
        "TensorFlow nor a network",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
