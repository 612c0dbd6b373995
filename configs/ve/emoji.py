"""Emoji, 32x32 colour, with the VE SDE.

    python main.py --config configs/ve/emoji.py --mode train

default   about 1 M parameters
tiny      seconds; for tests
"""

from configs import common, small

VARIANTS = {
    "default": lambda: small.emoji("ve"),
    "tiny": lambda: small.tiny(small.emoji("ve")),
}


def get_config(variant=None):
    return common.pick(VARIANTS, variant)
