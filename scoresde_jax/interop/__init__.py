"""Weights from other programs and to them; docs/weights.md says which.

Files are read as data: nothing that a file says is ever executed, imported or looked up.
"""

from scoresde_jax.interop.formats import read_weights, stored_config
from scoresde_jax.interop.inception import InceptionWeights, convert_inception, read_inception
from scoresde_jax.interop.plain import AVERAGES, TREES, write_weights
from scoresde_jax.interop.weights import Weights, parameter_shapes

__all__ = [
    "AVERAGES",
    "InceptionWeights",
    "TREES",
    "Weights",
    "convert_inception",
    "parameter_shapes",
    "read_inception",
    "read_weights",
    "stored_config",
    "write_weights",
]
