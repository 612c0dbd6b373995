"""Sampling given part of the answer, with a network that was trained without it.

operators      what is measured: masks, grey, small, blurred, few angles, few frequencies
replacement_sample, projection_sample, repaint_sample     hold what is known
ddrm_sample, pigdm_sample, dps_sample                     pull towards what is known
smc_sample                                                exact, for enough particles
bounded_score  keeps the predictions of a network within the range of the data
exact          priors whose posteriors are known, to measure the others by
"""

from scoresde_jax.posterior.bounded import bounded_score
from scoresde_jax.posterior.ddrm import ddrm_sample
from scoresde_jax.posterior.dps import dps_sample, dps_step
from scoresde_jax.posterior.known import replacement_sample
from scoresde_jax.posterior.operators import check_operator, degrade, pseudo_inverse
from scoresde_jax.posterior.pigdm import pigdm_sample, pigdm_score, pigdm_step
from scoresde_jax.posterior.projection import project, projection_sample
from scoresde_jax.posterior.repaint import repaint_sample
from scoresde_jax.posterior.replacement import colorize, decouple_gray, inpaint, recouple_gray
from scoresde_jax.posterior.smc import Particles, smc_particles, smc_sample

__all__ = [
    "Particles",
    "bounded_score",
    "check_operator",
    "colorize",
    "ddrm_sample",
    "decouple_gray",
    "degrade",
    "dps_sample",
    "dps_step",
    "inpaint",
    "pigdm_sample",
    "pigdm_score",
    "pigdm_step",
    "project",
    "projection_sample",
    "pseudo_inverse",
    "recouple_gray",
    "repaint_sample",
    "replacement_sample",
    "smc_particles",
    "smc_sample",
]
