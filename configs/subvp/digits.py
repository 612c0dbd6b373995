"""Digits, 8x8 grey, with the subvp SDE.

    python main.py --config configs/subvp/digits.py --mode train

default   0.75 M parameters, minutes on two CPU cores
best      deeper and longer, for likelihood; figures in the README
tiny      seconds; for tests
"""

from configs import common

VARIANTS = {
    "default": lambda: common.digits("subvp"),
    "best": lambda: common.longer(common.digits("subvp")),
    "tiny": lambda: common.tiny(common.digits("subvp")),
}


def get_config(variant=None):
    return common.pick(VARIANTS, variant)
