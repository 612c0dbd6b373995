"""Measurements of images: linear ones, what is done with their matrices, and two that are not."""

from scoresde_jax.posterior.operators.average import Average, average
from scoresde_jax.posterior.operators.blur import Blur, blur, gaussian_blur, motion_blur
from scoresde_jax.posterior.operators.gray import Gray
from scoresde_jax.posterior.operators.hadamard import Hadamard, hadamard
from scoresde_jax.posterior.operators.inverse import pseudo_inverse, solve
from scoresde_jax.posterior.operators.kspace import KSpace, kspace, kspace_lines
from scoresde_jax.posterior.operators.linear import (
    LinearOperator,
    Measurement,
    Operator,
    Spectral,
    check_operator,
    degrade,
    forward_of,
    matrix_of,
)
from scoresde_jax.posterior.operators.mask import Mask, box_mask, half_mask, mask, random_mask
from scoresde_jax.posterior.operators.nonlinear import high_dynamic_range, phase_retrieval
from scoresde_jax.posterior.operators.radon import Radon, radon
from scoresde_jax.posterior.operators.separable import Separable, bicubic

__all__ = [
    "Average",
    "Blur",
    "Gray",
    "Hadamard",
    "KSpace",
    "LinearOperator",
    "Mask",
    "Measurement",
    "Operator",
    "Radon",
    "Separable",
    "Spectral",
    "average",
    "bicubic",
    "blur",
    "box_mask",
    "check_operator",
    "degrade",
    "forward_of",
    "gaussian_blur",
    "hadamard",
    "half_mask",
    "high_dynamic_range",
    "kspace",
    "kspace_lines",
    "mask",
    "matrix_of",
    "motion_blur",
    "phase_retrieval",
    "pseudo_inverse",
    "radon",
    "random_mask",
    "solve",
]
