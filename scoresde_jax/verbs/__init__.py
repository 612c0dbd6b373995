"""What main.py can do, one function (config, workdir, ...) -> exit code each: loops and files.

Every verb first builds the whole experiment, so that a mistake costs no compilation and nothing is
written; files are written under a temporary name and renamed.
"""

from scoresde_jax.verbs.common import UserError, say, user_errors
from scoresde_jax.verbs.data import describe_data
from scoresde_jax.verbs.evaluate import evaluate
from scoresde_jax.verbs.features import train_features, write_statistics
from scoresde_jax.verbs.report import report
from scoresde_jax.verbs.restore import restore
from scoresde_jax.verbs.sample import sample
from scoresde_jax.verbs.sweep import sweep
from scoresde_jax.verbs.train import train, train_classifier, train_dequantizer
from scoresde_jax.verbs.weights import export_weights, import_weights

__all__ = [
    "UserError",
    "describe_data",
    "evaluate",
    "export_weights",
    "import_weights",
    "report",
    "restore",
    "sample",
    "say",
    "sweep",
    "train",
    "train_classifier",
    "train_dequantizer",
    "train_features",
    "user_errors",
    "write_statistics",
]
