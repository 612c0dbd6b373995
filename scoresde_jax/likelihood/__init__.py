"""Exact log-densities by the probability-flow ODE, and bits per dimension."""

from scoresde_jax.likelihood.bits import bits_per_dim, mean_and_standard_error
from scoresde_jax.likelihood.flow import log_likelihood
from scoresde_jax.likelihood.probes import gaussian, rademacher

__all__ = [
    "bits_per_dim",
    "gaussian",
    "log_likelihood",
    "mean_and_standard_error",
    "rademacher",
]
