"""Figures of what a model makes, and how far it is from the data."""

from scoresde_jax.evaluation.figures import (
    bpd_figure,
    image_grid,
    save_png,
    sweep_figure,
    training_figure,
)
from scoresde_jax.evaluation.frechet import (
    Moments,
    Projection,
    frechet_distance,
    moments,
    principal_components,
)

__all__ = [
    "Moments",
    "Projection",
    "bpd_figure",
    "frechet_distance",
    "image_grid",
    "moments",
    "principal_components",
    "save_png",
    "sweep_figure",
    "training_figure",
]
