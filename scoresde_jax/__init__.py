"""Score-based generative modelling through SDEs: the table of contents.

sde          VE, linear VE, VP, sub-VP: forward SDEs, reverse SDE, probability-flow ODE
score        how a network's output is a score
losses       denoising score matching, continuous and on chains
sampling     predictors, correctors, the PC loop, the ODE sampler and encoder
likelihood   exact log-densities, bits/dim
ode          adaptive solves on the device, per example
models       NCSN++, DDPM++, DDPM, NCSN, NCSNv2
data         digits, emoji, prepared TFDS sets
training, evaluation, build: what the command line is made of; imported by name
"""

from scoresde_jax.likelihood import bits_per_dim, log_likelihood
from scoresde_jax.losses import ddpm_loss, dsm_loss, smld_loss
from scoresde_jax.sampling import (
    ancestral,
    annealed_langevin,
    decode,
    encode,
    euler,
    euler_maruyama,
    identity,
    langevin,
    ode_sample,
    pc_sample,
    probability_flow,
    reverse_diffusion,
    unconstrained,
)
from scoresde_jax.score import (
    Parameterization,
    guide,
    make_score_fn,
    ncsn,
    ve_continuous,
    ve_discrete,
    vp_continuous,
    vp_discrete,
)
from scoresde_jax.sde import SDE, VESDE, VPSDE, LinearVESDE, SubVPSDE, ode_drift, reverse_drift
from scoresde_jax.types import LogLikelihood, Network, Samples, ScoreFn, Update
from scoresde_jax.version import __version__

__all__ = [
    "SDE",
    "VESDE",
    "VPSDE",
    "LinearVESDE",
    "LogLikelihood",
    "Network",
    "Parameterization",
    "Samples",
    "ScoreFn",
    "SubVPSDE",
    "Update",
    "__version__",
    "ancestral",
    "annealed_langevin",
    "bits_per_dim",
    "ddpm_loss",
    "decode",
    "dsm_loss",
    "encode",
    "euler",
    "euler_maruyama",
    "guide",
    "identity",
    "langevin",
    "log_likelihood",
    "make_score_fn",
    "ncsn",
    "ode_drift",
    "ode_sample",
    "pc_sample",
    "probability_flow",
    "reverse_diffusion",
    "reverse_drift",
    "smld_loss",
    "unconstrained",
    "ve_continuous",
    "ve_discrete",
    "vp_continuous",
    "vp_discrete",
]
