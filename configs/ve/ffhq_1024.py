"""FFHQ, 1024x1024 colour, with the VE SDE: NCSN++ of Song et al. 2021.

    python main.py --config configs/ve/ffhq_1024.py --mode train

variant             parameters    published
default             the same as ncsnpp_continuous
ncsnpp_continuous   105,785,896   images only
"""

from configs import common
from configs.published import pixels_1024

VARIANTS = {
    "default": lambda: pixels_1024("ffhq_1024", reduction="mean"),
    "ncsnpp_continuous": lambda: pixels_1024("ffhq_1024", reduction="mean"),
}


def get_config(variant=None):
    return common.pick(VARIANTS, variant)
