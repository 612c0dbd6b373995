"""Your own pictures, a folder or zip of them, with the VE SDE; docs/data.md has the details.

    python main.py --config configs/ve/folder.py --config.data.path=DIR --mode train

Pictures become squares of --config.data.image_size pixels, 32 by default; --mode data shows what is
there. A tenth is held out to test on, unless there are folders train and test.

default   about 1 M parameters
tiny      seconds; for tests
"""

from configs import common, small

VARIANTS = {
    "default": lambda: small.folder("ve"),
    "tiny": lambda: small.tiny(small.folder("ve")),
}


def get_config(variant=None):
    return common.pick(VARIANTS, variant)
