"""LSUN bedroom, 128x128 colour, with the VE SDE: NCSNv2 (Song & Ermon 2020).

    python main.py --config configs/ve/bedroom_128.py --mode train

variant   parameters   published
default   the same as ncsnv2
ncsnv2    83,445,379   images only
"""

from configs import common
from configs.common import ncsnv2
from configs.published import lsun_like, ncsn_2


def _ncsnv2():
    model = ncsnv2(size=128)
    config = lsun_like("bedroom_128", "ve", model, batch_size=128, ema_decay=0.9999)
    config.sde.sigma_max = 190.0
    return ncsn_2(config, levels=1086, steps_each=3, snr=0.095)


VARIANTS = {"default": _ncsnv2, "ncsnv2": _ncsnv2}


def get_config(variant=None):
    return common.pick(VARIANTS, variant)
