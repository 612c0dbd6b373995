"""Sampling given part of the answer, with a network that was trained without it.

operators      what is measured: masks, grey, small, blurred, few angles, few frequencies; clipped
replacement_sample, projection_sample, repaint_sample     hold what is known
ddrm_sample, pigdm_sample, dps_sample                     pull towards what is known
smc_sample                                                exact, for enough particles
bounded_score  keeps the predictions of a network within the range of the data
exact          priors whose posteriors are known, to measure the others by

A solver is a function (key, sde, score_fn, operator, y, shape, *, noise_std, steps, t_min, ...) ->
Samples that draws one restoration of each measurement:

    operator    of `operators`; a function x -> y for those that take one
    y           (B, ...) what was measured: operator.forward(x) + noise_std z
    shape       (B, H, W, C) of the samples
    noise_std   of y, as y is scaled; 0 is exact
    steps       down from t = 1 to t_min, the smallest time, from which one more leads to the data

All raise ValueError, before anything is compiled, if the operator does not take images of this
shape, y is not what it makes of them, noise_std is negative, or steps is less than 1; and if the
operator or the noise is none of those that the solver takes.
"""

from scoresde_jax.posterior.bounded import bounded_score
from scoresde_jax.posterior.ddrm import ddrm_sample
from scoresde_jax.posterior.dps import dps_sample, dps_step
from scoresde_jax.posterior.known import replacement_sample
from scoresde_jax.posterior.operators import check_operator, degrade, pseudo_inverse
from scoresde_jax.posterior.operators.gray import decouple_gray, recouple_gray
from scoresde_jax.posterior.pigdm import pigdm_sample, pigdm_score, pigdm_step
from scoresde_jax.posterior.projection import project, projection_sample
from scoresde_jax.posterior.repaint import repaint_sample
from scoresde_jax.posterior.replacement import colorize, inpaint
from scoresde_jax.posterior.smc import (
    Cloud,
    Particles,
    one_of_each,
    smc_end,
    smc_particles,
    smc_sample,
    smc_start,
    smc_step,
)

__all__ = [
    "Cloud",
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
    "one_of_each",
    "pigdm_sample",
    "pigdm_score",
    "pigdm_step",
    "project",
    "projection_sample",
    "pseudo_inverse",
    "recouple_gray",
    "repaint_sample",
    "replacement_sample",
    "smc_end",
    "smc_particles",
    "smc_sample",
    "smc_start",
    "smc_step",
]
