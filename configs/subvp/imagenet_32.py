"""Down-sampled ImageNet, 32x32 colour, with the sub-VP SDE: the models of Song et al. 2021b.

    python main.py --config configs/subvp/imagenet_32.py --mode train

variant                  parameters    published
default                  the same as ddpmpp_continuous
ddpmpp_continuous        61,804,419    3.76 bits/dim for the best of the four
ddpmpp_deep_continuous   106,632,579   the same, deeper

The likelihoods add --config.loss.weighting=likelihood (LW), or --config.loss.times=likelihood
instead (LW + IS: the weight is in the times then).
"""

from configs import common
from configs.published import DEEP, imagenet_32

VARIANTS = {
    "default": lambda: imagenet_32("subvp", blocks_per_level=4),
    "ddpmpp_continuous": lambda: imagenet_32("subvp", blocks_per_level=4),
    "ddpmpp_deep_continuous": lambda: imagenet_32("subvp", blocks_per_level=8, **DEEP),
}


def get_config(variant=None):
    return common.pick(VARIANTS, variant)
