"""CIFAR-10, 32x32 colour, with the sub-VP SDE: the models of Song et al. 2021 and 2021b.

    python main.py --config configs/subvp/cifar10.py --mode train

Needs the data once: pip install -e '.[tfds]'; python -m scoresde_jax.data.prepare cifar10

variant                       parameters    published
default                       the same as ddpmpp_continuous
ddpmpp_continuous             61,804,419    FID 2.61 (PC), 3.16 (ODE); 3.02 bits/dim
ddpmpp_deep_continuous        106,632,579   FID 2.41 (PC), 2.92 (ODE); 2.99 bits/dim
ncsnpp_continuous             62,693,251    none
ncsnpp_deep_continuous        107,521,411   none
ddpm_continuous               35,218,947    FID 3.56 (ODE); 3.05 bits/dim
flow_ddpmpp_continuous        61,804,419    2.83 bits/dim for the best of score_flow's four
flow_ddpmpp_deep_continuous   106,632,579   the same, deeper

score_flow's likelihoods add --config.loss.weighting=likelihood (LW), or
--config.loss.times=likelihood instead (LW + IS: the weight is in the times then).
"""

from configs import common
from configs.common import ddpm, ncsnpp
from configs.published import DEEP, NCSNPP, cifar10, flow

VARIANTS = {
    "default": lambda: cifar10("subvp", ncsnpp()),
    "ddpmpp_continuous": lambda: cifar10("subvp", ncsnpp()),
    "ddpmpp_deep_continuous": lambda: cifar10("subvp", ncsnpp(blocks_per_level=8), **DEEP),
    "ncsnpp_continuous": lambda: cifar10("subvp", ncsnpp(**NCSNPP)),
    "ncsnpp_deep_continuous": lambda: cifar10(
        "subvp", ncsnpp(blocks_per_level=8, **NCSNPP), **DEEP
    ),
    "ddpm_continuous": lambda: cifar10("subvp", ddpm()),
    "flow_ddpmpp_continuous": lambda: flow(cifar10("subvp", ncsnpp())),
    "flow_ddpmpp_deep_continuous": lambda: flow(
        cifar10("subvp", ncsnpp(blocks_per_level=8), **DEEP)
    ),
}


def get_config(variant=None):
    return common.pick(VARIANTS, variant)
