"""Digits, 8x8 grey, with the ve SDE.

    python main.py --config configs/ve/digits.py --mode train

default   0.75 M parameters, minutes on two CPU cores
tiny      seconds; for tests
"""

from configs import common

VARIANTS = {
    "default": lambda: common.digits("ve"),
    "tiny": lambda: common.tiny(common.digits("ve")),
}


def get_config(variant=None):
    return common.pick(VARIANTS, variant)
