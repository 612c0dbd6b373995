"""Digits, 8x8 grey, with the sub-VP SDE.

    python main.py --config configs/subvp/digits.py --mode train

default   0.75 M parameters, minutes on two CPU cores
best      deeper and longer, for likelihood; figures in the README
conditional  knows the classes: --mode sample draws each in turn, guided without a classifier
tiny      seconds; for tests
"""

from configs import common, small

VARIANTS = {
    "default": lambda: small.digits("subvp"),
    "best": lambda: small.longer(small.digits("subvp")),
    "conditional": lambda: small.conditional(small.digits("subvp")),
    "tiny": lambda: small.tiny(small.digits("subvp")),
}


def get_config(variant=None):
    return common.pick(VARIANTS, variant)
