"""Figures of what a model makes and of how it was measured."""

from scoresde_jax.evaluation.figures import bpd_figure, image_grid, save_png, training_figure

__all__ = ["bpd_figure", "image_grid", "save_png", "training_figure"]
