"""CelebA-HQ, 256x256 colour, with the VP chain: DDPM (Ho et al. 2020).

    python main.py --config configs/vp/celebahq_256.py --mode train

variant   parameters    published
default   the same as ddpm
ddpm      111,569,923   images only (Ho et al. 2020)
"""

from configs import common
from configs.published import ddpm_256

VARIANTS = {"default": lambda: ddpm_256("celebahq_256"), "ddpm": lambda: ddpm_256("celebahq_256")}


def get_config(variant=None):
    return common.pick(VARIANTS, variant)
