"""Digits, 8x8 grey, with the vp SDE.

    python main.py --config configs/vp/digits.py --mode train

default   0.75 M parameters, minutes on two CPU cores
tiny      seconds; for tests
"""

from configs import common

VARIANTS = {
    "default": lambda: common.digits("vp"),
    "tiny": lambda: common.tiny(common.digits("vp")),
}


def get_config(variant=None):
    return common.pick(VARIANTS, variant)
