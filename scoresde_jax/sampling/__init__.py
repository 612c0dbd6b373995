"""Samplers: predictors, correctors, the predictor-corrector loop, the probability-flow ODE."""

from scoresde_jax.sampling.correctors import annealed_langevin, langevin
from scoresde_jax.sampling.ode import decode, encode, ode_sample
from scoresde_jax.sampling.pc import pc_sample, unconstrained
from scoresde_jax.sampling.predictors import (
    ancestral,
    euler,
    euler_maruyama,
    identity,
    probability_flow,
    reverse_diffusion,
)

__all__ = [
    "ancestral",
    "annealed_langevin",
    "decode",
    "encode",
    "euler",
    "euler_maruyama",
    "identity",
    "langevin",
    "ode_sample",
    "pc_sample",
    "probability_flow",
    "reverse_diffusion",
    "unconstrained",
]
