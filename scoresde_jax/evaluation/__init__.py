"""Figures of what a model makes, and how far it is from the data."""

from scoresde_jax.evaluation.agreement import Agreement, agreement
from scoresde_jax.evaluation.figures import (
    accuracy_figure,
    agreement_figure,
    bpd_figure,
    image_grid,
    restoration_figure,
    save_png,
    sweep_figure,
    training_figure,
)
from scoresde_jax.evaluation.frechet import frechet_distance
from scoresde_jax.evaluation.inception_score import inception_score
from scoresde_jax.evaluation.kernel import kernel_distance
from scoresde_jax.evaluation.moments import Moments, Sums, moments, no_sums
from scoresde_jax.evaluation.neighbours import precision_recall
from scoresde_jax.evaluation.projection import Projection, principal_components
from scoresde_jax.evaluation.similarity import psnr, ssim

__all__ = [
    "Agreement",
    "Moments",
    "Projection",
    "Sums",
    "accuracy_figure",
    "agreement",
    "agreement_figure",
    "bpd_figure",
    "frechet_distance",
    "image_grid",
    "inception_score",
    "kernel_distance",
    "moments",
    "no_sums",
    "precision_recall",
    "principal_components",
    "psnr",
    "restoration_figure",
    "save_png",
    "ssim",
    "sweep_figure",
    "training_figure",
]
