"""Sampling given part of the answer, with a network that was trained without it."""

from scoresde_jax.posterior.replacement import colorize, decouple_gray, inpaint, recouple_gray

__all__ = ["colorize", "decouple_gray", "inpaint", "recouple_gray"]
