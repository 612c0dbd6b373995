"""CIFAR-10, 32x32 colour, with the sub-VP SDE: the models of Song et al. 2021.

    python main.py --config configs/subvp/cifar10.py --mode train

Needs the data once: pip install -e .[tfds]; python -m scoresde_jax.data.prepare cifar10

variant                   parameters    published: FID with PC, FID with ODE, bits/dim
default                   the same as ddpmpp_continuous
ddpmpp_continuous         61,804,419    2.61, 3.16, 3.02
ddpmpp_deep_continuous    106,632,579   2.41, 2.92, 2.99
ncsnpp_continuous         62,693,251
ncsnpp_deep_continuous    107,521,411
ddpm_continuous           35,218,947    ODE 3.56, 3.05
"""

from configs import common
from configs.common import NCSNPP, cifar10, ddpm, ncsnpp

DEEP = {"steps": 950_001}

VARIANTS = {
    "default": lambda: cifar10("subvp", ncsnpp()),
    "ddpmpp_continuous": lambda: cifar10("subvp", ncsnpp()),
    "ddpmpp_deep_continuous": lambda: cifar10("subvp", ncsnpp(blocks_per_level=8), **DEEP),
    "ncsnpp_continuous": lambda: cifar10("subvp", ncsnpp(**NCSNPP)),
    "ncsnpp_deep_continuous": lambda: cifar10(
        "subvp", ncsnpp(blocks_per_level=8, **NCSNPP), **DEEP
    ),
    "ddpm_continuous": lambda: cifar10("subvp", ddpm()),
}


def get_config(variant=None):
    return common.pick(VARIANTS, variant)
