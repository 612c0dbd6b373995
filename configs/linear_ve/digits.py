"""Digits, 8x8 grey, with the linear VE SDE.

    python main.py --config configs/linear_ve/digits.py --mode train

default   0.75 M parameters, minutes on two CPU cores
tiny      seconds; for tests
"""

from configs import common, small

VARIANTS = {
    "default": lambda: small.digits("linear_ve"),
    "tiny": lambda: small.tiny(small.digits("linear_ve")),
}


def get_config(variant=None):
    return common.pick(VARIANTS, variant)
