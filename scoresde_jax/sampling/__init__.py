"""Samplers.

Predictors, correctors and the predictor-corrector loop; the probability-flow ODE; methods of few
evaluations on a fixed grid; the reverse SDE with adaptive steps.
"""

from scoresde_jax.sampling.adaptive import adaptive_sample
from scoresde_jax.sampling.change import denoised
from scoresde_jax.sampling.correctors import annealed_langevin, langevin
from scoresde_jax.sampling.fixed import grid_sample
from scoresde_jax.sampling.grids import edm_grid, log_snr_grid, quadratic_grid, uniform_grid
from scoresde_jax.sampling.heun import heun
from scoresde_jax.sampling.latents import spherical_interpolation
from scoresde_jax.sampling.multistep import (
    ddim,
    dpm_solver_2m,
    dpm_solver_3m,
    sde_dpm_solver_1,
    sde_dpm_solver_2m,
)
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
from scoresde_jax.sampling.singlestep import dpm_solver_2s
from scoresde_jax.sampling.unipc import unipc

__all__ = [
    "adaptive_sample",
    "ancestral",
    "annealed_langevin",
    "ddim",
    "decode",
    "denoised",
    "dpm_solver_2m",
    "dpm_solver_2s",
    "dpm_solver_3m",
    "edm_grid",
    "encode",
    "euler",
    "euler_maruyama",
    "grid_sample",
    "heun",
    "identity",
    "langevin",
    "log_snr_grid",
    "ode_sample",
    "pc_sample",
    "probability_flow",
    "quadratic_grid",
    "reverse_diffusion",
    "sde_dpm_solver_1",
    "sde_dpm_solver_2m",
    "spherical_interpolation",
    "unconstrained",
    "uniform_grid",
    "unipc",
]
