"""Digits, 8x8 grey, with the VE SDE.

    python main.py --config configs/ve/digits.py --mode train

default   0.75 M parameters, minutes on two CPU cores
tiny      seconds; for tests
"""

from configs import common, small

VARIANTS = {
    "default": lambda: small.digits("ve"),
    "tiny": lambda: small.tiny(small.digits("ve")),
}


def get_config(variant=None):
    return common.pick(VARIANTS, variant)
