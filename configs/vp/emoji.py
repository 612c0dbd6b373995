"""Emoji, 32x32 colour, with the vp SDE.

    python main.py --config configs/vp/emoji.py --mode train

default   about 1 M parameters
tiny      seconds; for tests
"""

from configs import common

VARIANTS = {
    "default": lambda: common.emoji("vp"),
    "tiny": lambda: common.tiny(common.emoji("vp")),
}


def get_config(variant=None):
    return common.pick(VARIANTS, variant)
