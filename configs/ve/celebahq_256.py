"""CelebA-HQ, 256x256 colour, with the VE SDE: NCSN++ of Song et al. 2021.

    python main.py --config configs/ve/celebahq_256.py --mode train

variant             parameters   published
default             the same as ncsnpp_continuous
ncsnpp_continuous   65,574,549   images only
"""

from configs import common
from configs.published import pixels_256

VARIANTS = {
    "default": lambda: pixels_256("celebahq_256", sigma_max=348.0),
    "ncsnpp_continuous": lambda: pixels_256("celebahq_256", sigma_max=348.0),
}


def get_config(variant=None):
    return common.pick(VARIANTS, variant)
