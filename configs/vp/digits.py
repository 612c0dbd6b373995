"""Digits, 8x8 grey, with the VP SDE.

    python main.py --config configs/vp/digits.py --mode train

default   0.75 M parameters, minutes on two CPU cores
tiny      seconds; for tests
"""

from configs import common, small

VARIANTS = {
    "default": lambda: small.digits("vp"),
    "tiny": lambda: small.tiny(small.digits("vp")),
}


def get_config(variant=None):
    return common.pick(VARIANTS, variant)
