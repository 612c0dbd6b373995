"""Emoji, 32x32 colour, with the VE SDE.

    python main.py --config configs/ve/emoji.py --mode train

default   0.7 M parameters, 3,000 steps: 24 minutes on two CPU cores
tiny      seconds; for tests
"""

from configs import common, small

VARIANTS = {
    "default": lambda: small.emoji("ve"),
    "tiny": lambda: small.tiny(small.emoji("ve")),
}


def get_config(variant=None):
    return common.pick(VARIANTS, variant)
