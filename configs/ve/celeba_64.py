"""CelebA, 64x64 colour, with the VE SDE: the models of Song et al. 2021 and before.

    python main.py --config configs/ve/celeba_64.py --mode train

variant     parameters   published: FID with PC
default     the same as ncsnpp
ncsnpp      62,693,251   "around 2.5" (score_sde, issue 10)
ncsn        34,428,675   none
ncsn_5      34,428,675   none; ncsn with averaged parameters
ncsn_124    57,384,195   none; techniques 1, 2 and 4 of Song & Ermon 2020
ncsn_1245   57,384,195   none; the same with averaged parameters
ncsnv2      33,970,563   10.23 (Song & Ermon 2020)
"""

from configs import common
from configs.common import ncsn, ncsnpp, ncsnv2
from configs.published import NCSNPP, celeba_64, discrete, ncsn_1, ncsn_2, ncsn_124

LEVELS = {"levels": 500, "snr": 0.128}

VARIANTS = {
    "default": lambda: discrete(celeba_64(ncsnpp(**NCSNPP)), "reverse_diffusion"),
    "ncsnpp": lambda: discrete(celeba_64(ncsnpp(**NCSNPP)), "reverse_diffusion"),
    "ncsn": lambda: ncsn_1(celeba_64(ncsn()), ema_decay=0.0),
    "ncsn_5": lambda: ncsn_1(celeba_64(ncsn()), ema_decay=0.999),
    "ncsn_124": lambda: ncsn_124(celeba_64(ncsn()), ema_decay=0.0, **LEVELS),
    "ncsn_1245": lambda: ncsn_124(celeba_64(ncsn()), ema_decay=0.999, **LEVELS),
    "ncsnv2": lambda: ncsn_2(celeba_64(ncsnv2()), **LEVELS),
}


def get_config(variant=None):
    return common.pick(VARIANTS, variant)
