"""CIFAR-10, 32x32 colour, with the VP SDE: the models of Song et al. 2021.

    python main.py --config configs/vp/cifar10.py --mode train

Needs the data once: pip install -e .[tfds]; python -m scoresde_jax.data.prepare cifar10

variant                   parameters    published: FID with PC, FID with ODE, bits/dim
default                   the same as ddpmpp_continuous
ddpmpp_continuous         61,804,419    2.55, 3.93, 3.16
ddpmpp_deep_continuous    106,632,579   2.41, 3.08, 3.13
ddpmpp                    61,804,419    2.78
ncsnpp_continuous         62,693,251
ncsnpp_deep_continuous    107,521,411
ncsnpp                    62,693,251
ddpm                      35,218,947    3.24, 3.37, 3.28
ddpm_continuous           35,218,947    ODE 3.69, 3.21
ddpm_unconditional        32,329,347
"""

from configs import common
from configs.common import NCSNPP, cifar10, ddpm, discrete, ncsnpp

DEEP = {"steps": 950_001}

VARIANTS = {
    "default": lambda: cifar10("vp", ncsnpp()),
    "ddpmpp_continuous": lambda: cifar10("vp", ncsnpp()),
    "ddpmpp_deep_continuous": lambda: cifar10("vp", ncsnpp(blocks_per_level=8), **DEEP),
    "ddpmpp": lambda: discrete(cifar10("vp", ncsnpp()), "ancestral"),
    "ncsnpp_continuous": lambda: cifar10("vp", ncsnpp(**NCSNPP)),
    "ncsnpp_deep_continuous": lambda: cifar10("vp", ncsnpp(blocks_per_level=8, **NCSNPP), **DEEP),
    "ncsnpp": lambda: discrete(cifar10("vp", ncsnpp(**NCSNPP)), "reverse_diffusion"),
    "ddpm": lambda: discrete(cifar10("vp", ddpm()), "ancestral"),
    "ddpm_continuous": lambda: cifar10("vp", ddpm()),
    "ddpm_unconditional": lambda: discrete(cifar10("vp", ddpm(conditional=False)), "ancestral"),
}


def get_config(variant=None):
    return common.pick(VARIANTS, variant)
