"""One operator of every kind and shape of mask, for small images that are not square."""

import numpy as np

from scoresde_jax.posterior import operators

IMAGE = (8, 4, 3)
PIXELS = np.arange(96).reshape(IMAGE) % 3 != 1
CHOSEN = np.random.default_rng(0).random(IMAGE[:2]) < 0.4
KERNEL = np.random.default_rng(1).normal(size=(5, 3))

OPERATORS = {
    "mask": operators.mask(PIXELS),
    "box": operators.box_mask(IMAGE, 1, 2, 4, 2),
    "half": operators.half_mask(IMAGE, "top"),
    "random": operators.random_mask(IMAGE, 0.3),
    "gray": operators.Gray(),
    "average": operators.average(IMAGE, 2),
    "average 4": operators.average(IMAGE, 4),
    "bicubic": operators.bicubic(IMAGE, 2),
    "blur": operators.blur(IMAGE, KERNEL),
    "gaussian blur": operators.gaussian_blur(IMAGE, 0.8),
    "motion blur": operators.motion_blur(IMAGE, 2.5, 80.0),
    "hadamard": operators.hadamard(IMAGE, 0.4),
    "kspace": operators.kspace(CHOSEN),
    "kspace lines": operators.kspace_lines(IMAGE, 2, 1),
    "radon": operators.radon(IMAGE, 3),
    "radon of many angles": operators.radon(IMAGE, 12),
}
