"""From config sections to objects.

Below this package nothing reads a config; above it, `training`, `sampling` and `likelihood` give
loops their lengths and seeds.

A section is the keyword arguments of one function or class; `name` says which, by a table here. All
names and keys are checked when an `Experiment` is built, before anything is compiled.

To add an SDE, predictor, corrector, loss or network: write it, and add a row to its table.
"""

from scoresde_jax.build.assemble import (
    DTYPES,
    LOSSES,
    NETWORKS,
    PARAMETERIZATIONS,
    REDUCTIONS,
    SDES,
    TIMES,
    WEIGHTINGS,
    Config,
    Experiment,
    adam_to_zero,
    check_labels,
    dataset,
    experiment,
    optimizer,
    resolve,
)
from scoresde_jax.build.checks import DEFINED_FOR
from scoresde_jax.build.extractors import extractor
from scoresde_jax.build.guides import (
    GUIDES,
    METHODS,
    Guide,
    Guided,
    guide,
    guided,
    with_model,
)
from scoresde_jax.build.likelihoods import (
    BOUND_FORMS,
    BOUND_TIMES,
    PROBES,
    dequantization_flow,
    dequantizers,
    learned_dequantizer,
)
from scoresde_jax.build.operators import OPERATORS, data_range
from scoresde_jax.build.posterior import RESTORERS, Restorer, from_unit, restorer, to_unit
from scoresde_jax.build.samplers import CORRECTORS, GRIDS, PAIRS, PREDICTORS, SOLVERS, sampler
from scoresde_jax.build.weights import Pretrained, pretrained

__all__ = [
    "BOUND_FORMS",
    "BOUND_TIMES",
    "CORRECTORS",
    "DEFINED_FOR",
    "DTYPES",
    "GRIDS",
    "GUIDES",
    "LOSSES",
    "METHODS",
    "NETWORKS",
    "OPERATORS",
    "PAIRS",
    "PARAMETERIZATIONS",
    "PREDICTORS",
    "PROBES",
    "REDUCTIONS",
    "RESTORERS",
    "SDES",
    "SOLVERS",
    "TIMES",
    "WEIGHTINGS",
    "Config",
    "Experiment",
    "Guide",
    "Guided",
    "Pretrained",
    "Restorer",
    "adam_to_zero",
    "check_labels",
    "data_range",
    "dataset",
    "dequantization_flow",
    "dequantizers",
    "experiment",
    "extractor",
    "guide",
    "guided",
    "from_unit",
    "learned_dequantizer",
    "optimizer",
    "resolve",
    "pretrained",
    "restorer",
    "sampler",
    "with_model",
    "to_unit",
]
