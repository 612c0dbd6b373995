"""Emoji, 32x32 colour, with the subvp SDE.

    python main.py --config configs/subvp/emoji.py --mode train

default   about 1 M parameters
tiny      seconds; for tests
"""

from configs import common

VARIANTS = {
    "default": lambda: common.emoji("subvp"),
    "tiny": lambda: common.tiny(common.emoji("subvp")),
}


def get_config(variant=None):
    return common.pick(VARIANTS, variant)
