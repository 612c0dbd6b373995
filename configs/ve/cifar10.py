"""CIFAR-10, 32x32 colour, with the VE SDE: the models of Song et al. 2021.

    python main.py --config configs/ve/cifar10.py --mode train

Needs the data once: pip install -e .[tfds]; python -m scoresde_jax.data.prepare cifar10

variant                   parameters    published: FID with PC, Inception Score
default                   the same as ncsnpp_continuous
ncsnpp_continuous         62,758,915    2.38, 9.83
ncsnpp_deep_continuous    107,587,075   2.20, 9.89
ncsnpp                    62,693,251    2.45, 9.73
ddpm                      35,218,947    3.60 (Table 1)
"""

from configs import common
from configs.common import NCSNPP, cifar10, ddpm, discrete, ncsnpp

DEEP = {"steps": 950_001}

VARIANTS = {
    "default": lambda: cifar10("ve", ncsnpp(embedding="fourier", **NCSNPP)),
    "ncsnpp_continuous": lambda: cifar10("ve", ncsnpp(embedding="fourier", **NCSNPP)),
    "ncsnpp_deep_continuous": lambda: cifar10(
        "ve", ncsnpp(blocks_per_level=8, embedding="fourier", **NCSNPP), **DEEP
    ),
    "ncsnpp": lambda: discrete(cifar10("ve", ncsnpp(**NCSNPP)), "reverse_diffusion"),
    "ddpm": lambda: discrete(cifar10("ve", ddpm()), "reverse_diffusion"),
}


def get_config(variant=None):
    return common.pick(VARIANTS, variant)
