"""CIFAR-10, 32x32 colour, with the VE SDE: the models of Song et al. 2021 and before.

    python main.py --config configs/ve/cifar10.py --mode train

Needs the data once: pip install -e '.[tfds]'; python -m scoresde_jax.data.prepare cifar10

variant                  parameters    published: FID with PC, Inception Score
default                  the same as ncsnpp_continuous
ncsnpp_continuous        62,758,915    2.38, 9.83
ncsnpp_deep_continuous   107,587,075   2.20, 9.89
ncsnpp                   62,693,251    2.45, 9.73
ddpm                     35,218,947    3.60 (Table 1)
ncsn                     34,428,675    25.32, 8.87 (Song & Ermon 2019)
ncsn_5                   34,428,675    none; ncsn with averaged parameters
ncsn_124                 44,828,931    none; techniques 1, 2 and 4 of Song & Ermon 2020
ncsn_1245                44,828,931    none; the same with averaged parameters
ncsnv2                   33,970,563    10.87, 8.40 (Song & Ermon 2020)
"""

from configs import common
from configs.common import ddpm, ncsn, ncsnpp, ncsnv2
from configs.published import DEEP, NCSNPP, cifar10, discrete, ncsn_1, ncsn_2, ncsn_124

LEVELS = {"levels": 232, "snr": 0.176}

VARIANTS = {
    "default": lambda: cifar10("ve", ncsnpp(embedding="fourier", **NCSNPP)),
    "ncsnpp_continuous": lambda: cifar10("ve", ncsnpp(embedding="fourier", **NCSNPP)),
    "ncsnpp_deep_continuous": lambda: cifar10(
        "ve", ncsnpp(blocks_per_level=8, embedding="fourier", **NCSNPP), **DEEP
    ),
    "ncsnpp": lambda: discrete(cifar10("ve", ncsnpp(**NCSNPP)), "reverse_diffusion"),
    "ddpm": lambda: discrete(cifar10("ve", ddpm()), "reverse_diffusion"),
    "ncsn": lambda: ncsn_1(cifar10("ve", ncsn()), ema_decay=0.0),
    "ncsn_5": lambda: ncsn_1(cifar10("ve", ncsn()), ema_decay=0.999),
    "ncsn_124": lambda: ncsn_124(cifar10("ve", ncsn()), ema_decay=0.0, **LEVELS),
    "ncsn_1245": lambda: ncsn_124(cifar10("ve", ncsn()), ema_decay=0.999, **LEVELS),
    "ncsnv2": lambda: ncsn_2(cifar10("ve", ncsnv2()), **LEVELS),
}


def get_config(variant=None):
    return common.pick(VARIANTS, variant)
