"""Log-densities by the probability-flow ODE, a bound on the reverse SDE's, bits per dimension."""

from scoresde_jax.likelihood.bits import bits_per_dim, mean_and_standard_error
from scoresde_jax.likelihood.bound import (
    Bound,
    antithetic_importance,
    at_once,
    denoising,
    independent_importance,
    independent_uniform,
    likelihood_bound,
    sliced,
    stratified_importance,
)
from scoresde_jax.likelihood.dequantization import (
    Dequantizer,
    Noise,
    importance_weighted,
    learned,
    none,
    truncated_normal,
    uniform,
)
from scoresde_jax.likelihood.flow import FlowDensity, log_likelihood
from scoresde_jax.likelihood.probes import gaussian, rademacher

__all__ = [
    "Bound",
    "Dequantizer",
    "FlowDensity",
    "Noise",
    "antithetic_importance",
    "at_once",
    "bits_per_dim",
    "denoising",
    "gaussian",
    "importance_weighted",
    "independent_importance",
    "independent_uniform",
    "learned",
    "likelihood_bound",
    "log_likelihood",
    "mean_and_standard_error",
    "none",
    "rademacher",
    "sliced",
    "stratified_importance",
    "truncated_normal",
    "uniform",
]
