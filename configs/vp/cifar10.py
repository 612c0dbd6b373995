"""CIFAR-10, 32x32 colour, with the VP SDE: the models of Song et al. 2021 and 2021b.

    python main.py --config configs/vp/cifar10.py --mode train

Needs the data once: pip install -e '.[tfds]'; python -m scoresde_jax.data.prepare cifar10

variant                       parameters    published
default                       the same as ddpmpp_continuous
ddpmpp_continuous             61,804,419    FID 2.55 (PC), 3.93 (ODE); 3.16 bits/dim
ddpmpp_deep_continuous        106,632,579   FID 2.41 (PC), 3.08 (ODE); 3.13 bits/dim
ddpmpp                        61,804,419    FID 2.78 (PC)
ncsnpp_continuous             62,693,251    none
ncsnpp_deep_continuous        107,521,411   none
ncsnpp                        62,693,251    none
ddpm                          35,218,947    FID 3.24 (ancestral), 3.37 (ODE); 3.28 bits/dim
ddpm_continuous               35,218,947    FID 3.69 (ODE); 3.21 bits/dim
ddpm_unconditional            32,329,347    none
flow_ddpmpp_continuous        61,804,419    2.83 bits/dim for the best of score_flow's four
flow_ddpmpp_deep_continuous   106,632,579   the same, deeper

score_flow's likelihoods add --config.loss.weighting=likelihood (LW), or
--config.loss.times=likelihood instead (LW + IS: the weight is in the times then).
"""

from configs import common
from configs.common import ddpm, ncsnpp
from configs.published import DEEP, NCSNPP, cifar10, discrete, flow

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
    "flow_ddpmpp_continuous": lambda: flow(cifar10("vp", ncsnpp())),
    "flow_ddpmpp_deep_continuous": lambda: flow(cifar10("vp", ncsnpp(blocks_per_level=8), **DEEP)),
}


def get_config(variant=None):
    return common.pick(VARIANTS, variant)
