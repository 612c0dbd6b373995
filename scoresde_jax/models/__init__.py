"""Networks: raw output from noisy images and a time label.  They know no SDE and no config.

Of other kinds are `DequantizationFlow` (noise, and an image, to noise within its levels), and what
images are measured by: `inception.py` with `resize.py`, and `classifier.py`.
"""

from scoresde_jax.models.ddpm import DDPM
from scoresde_jax.models.dequantizer import DequantizationFlow
from scoresde_jax.models.ncsn import NCSN, NCSNv2
from scoresde_jax.models.ncsnpp import NCSNpp

__all__ = ["DDPM", "NCSN", "DequantizationFlow", "NCSNpp", "NCSNv2"]
