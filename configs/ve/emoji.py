"""Emoji, 32x32 colour, with the ve SDE.

    python main.py --config configs/ve/emoji.py --mode train

default   about 1 M parameters
tiny      seconds; for tests
"""

from configs import common

VARIANTS = {
    "default": lambda: common.emoji("ve"),
    "tiny": lambda: common.tiny(common.emoji("ve")),
}


def get_config(variant=None):
    return common.pick(VARIANTS, variant)
