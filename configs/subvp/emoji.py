"""Emoji, 32x32 colour, with the sub-VP SDE.

    python main.py --config configs/subvp/emoji.py --mode train

default   0.7 M parameters, 3,000 steps: 24 minutes on two CPU cores
tiny      seconds; for tests
"""

from configs import common, small

VARIANTS = {
    "default": lambda: small.emoji("subvp"),
    "tiny": lambda: small.tiny(small.emoji("subvp")),
}


def get_config(variant=None):
    return common.pick(VARIANTS, variant)
