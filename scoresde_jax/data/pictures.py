"""Encoded pictures to pixels: what PIL reads, upright, in 8 bits, grey or RGB, cut to size.

    picture(data, fit=square, size=64, channels=3) -> (64, 64, 3) uint8

- EXIF orientation is applied. Palettes become colours, CMYK becomes RGB by PIL's plain formula.
- Transparent pixels are laid on white, and a warning says so once; an alpha channel without any is
  dropped.
- More than 8 bits per channel are refused: rounding would lose what the file was made to keep.
- Grey becomes RGB by repetition, colour becomes grey as PIL's "L" (ITU-R 601 luma).
- Of an animation the first frame is taken.
"""

import io
import struct
import warnings
import zlib
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:  # PIL is imported only when pictures are read
    from PIL import Image

Fit = Callable[["Image.Image", int], "Image.Image"]  # (picture, size) -> picture of that size

ORIENTATION = 0x0112  # EXIF tag
MAX_PIXELS = 2**26  # 8192 x 8192; a few kilobytes can claim any size
# EPS runs Ghostscript, WMF the Windows renderer; the others are names without a decoder.
UNREAD = frozenset({"EPS", "WMF", "BUFR", "GRIB", "HDF5", "MPEG", "PDF", "PALM"})
WHITE = "transparent pixels of some images are laid on white"


class CorruptImage(ValueError):
    """An image that cannot be decoded."""


class UnsuitableImage(ValueError):
    """An image that is whole, but not what was asked for."""


def picture(data: bytes, *, fit: Fit, size: int | None, channels: int | None) -> np.ndarray:
    """Decodes one picture; (H, W, C) uint8.

    Args:
      fit: cuts and scales it to size; not called if size is None.
      channels: 1 or 3; those of the file if None.

    Raises:
      CorruptImage: it cannot be decoded, or claims more than MAX_PIXELS pixels.
      UnsuitableImage: it has more than 8 bits per channel.
    """
    image = opened(data)
    return fitted(image, fit=fit, size=size, channels=channels or own_channels(image))


def fitted(image: "Image.Image", *, fit: Fit, size: int | None, channels: int) -> np.ndarray:
    """Pixels of an opened picture, converted and cut to size; (H, W, C) uint8."""
    image = in_channels(image, channels)
    if size is not None and image.size != (size, size):
        image = fit(image, size)
    return np.asarray(image).reshape(image.height, image.width, channels)


def array_fitted(
    image: np.ndarray, *, fit: Fit, size: int | None, channels: int | None
) -> np.ndarray:
    """`fitted` for pixels, (H, W, 1 or 3) uint8, which are left as they are where they fit."""
    height, width, own = image.shape
    wanted: int = own if channels is None else channels
    if own == wanted and (size is None or height == width == size):
        return image
    from PIL import Image

    plain = np.ascontiguousarray(image[..., 0] if own == 1 else image)
    return fitted(Image.fromarray(plain), fit=fit, size=size, channels=wanted)


def opened(data: bytes) -> "Image.Image":
    """Decodes a picture and turns it upright; raises as `picture` does."""
    from PIL import ImageOps

    image = header(data)
    try:
        image.load()
        if image.getexif().get(ORIENTATION, 1) == 1:
            return image
        return ImageOps.exif_transpose(image)
    except _broken() as error:
        raise CorruptImage(f"it cannot be decoded ({error})") from error


def header(data: bytes) -> "Image.Image":
    """Reads what a picture is without decoding it; raises as `picture` does."""
    from PIL import Image

    try:
        image = Image.open(io.BytesIO(data), formats=_formats())
    except Image.UnidentifiedImageError as error:
        raise CorruptImage("it is no picture that PIL can read") from error
    except _broken() as error:
        raise CorruptImage(f"its header cannot be read ({error})") from error
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise CorruptImage(f"it claims {width} x {height} pixels; at most {MAX_PIXELS} are read")
    if not _eight_bits(image):
        raise UnsuitableImage(
            "it has more than 8 bits per channel; convert it to 8 bits, or keep the precision in a "
            "float array (docs/data.md)"
        )
    return image


def upright_size(image: "Image.Image") -> tuple[int, int]:
    """Returns (width, height) once the EXIF orientation is applied; raises CorruptImage."""
    width, height = image.size
    if image.format == "PNG" and "exif" not in image.info:
        return image.size  # EXIF may follow the pixels, but to look there is to decode them
    try:
        turned = image.getexif().get(ORIENTATION, 1) in (5, 6, 7, 8)  # those with a quarter turn
    except _broken() as error:
        raise CorruptImage(f"its EXIF data cannot be read ({error})") from error
    return (height, width) if turned else (width, height)


def own_channels(image: "Image.Image") -> int:
    """Returns 1 for a grey picture, 3 for one in colour or with a palette."""
    return 1 if image.mode in ("1", "L", "LA", "La") else 3


def in_channels(image: "Image.Image", channels: int) -> "Image.Image":
    """Converts a picture to grey (1) or RGB (3), without transparency."""
    from PIL import Image

    if image.has_transparency_data:
        image = image.convert("RGBA")
        if np.asarray(image.getchannel("A")).min() < 255:
            warnings.warn(WHITE, stacklevel=2)
            white = Image.new("RGBA", image.size, "white")
            image = Image.alpha_composite(white, image)
        image = image.convert("RGB")
    if image.mode == ("RGB" if channels == 3 else "L"):
        return image
    if channels == 3 or image.mode != "1":
        image = image.convert("RGB")  # also on the way to grey, which LAB has no direct way to
    return image if channels == 3 else image.convert("L")


def suffixes() -> frozenset[str]:
    """Returns the endings of file names that pictures have, as ".png"."""
    from PIL import Image

    return frozenset(k for k, v in Image.registered_extensions().items() if v not in UNREAD)


@lru_cache(maxsize=1)
def _formats() -> tuple[str, ...]:
    from PIL import Image

    Image.init()
    return tuple(name for name in Image.OPEN if name not in UNREAD)


@lru_cache(maxsize=1)
def _broken() -> tuple[type[Exception], ...]:
    """What PIL's decoders raise on broken files, which is nearly anything.

    Not MemoryError: that says nothing of the file. An OSError is the file's, as all its bytes are
    in memory.
    """
    from PIL import Image

    of_python = (OSError, EOFError, SyntaxError, ValueError, TypeError, AttributeError)
    computing = (LookupError, ArithmeticError, AssertionError, RuntimeError)
    # Warning: PIL warns of damage, and some make errors of warnings.
    packing = (struct.error, zlib.error, Warning, Image.DecompressionBombError)
    return (*of_python, *computing, *packing)


def _eight_bits(image: "Image.Image") -> bool:
    if image.mode[0] in "IF":
        return False
    # PIL drops the low byte of 16-bit colour silently; how the file stores it is in the tiles.
    for tile in getattr(image, "tile", ()):
        arguments: Any = tile[3] if isinstance(tile[3], tuple) else (tile[3],)
        if any(str(a).endswith((";16B", ";16L", ";16N")) for a in arguments):
            return False
        if tile[0].startswith("ppm") and any(isinstance(a, int) and a > 255 for a in arguments):
            return False  # the largest value
    return True


# How pictures are cut to size. The rules are those of the 2021 code (datasets.py), here with 8-bit
# results, rounded, where it kept floats or cut the fraction off.


def square(image: "Image.Image", size: int) -> "Image.Image":
    """The largest centred square, scaled with an antialiased bicubic filter."""
    from PIL import Image

    side = min(image.size)
    return centre_crop(image, side).resize((size, size), Image.Resampling.BICUBIC)


def stretch(image: "Image.Image", size: int) -> "Image.Image":
    """The whole picture, scaled to a square with an antialiased linear filter."""
    from PIL import Image

    return image.resize((size, size), Image.Resampling.BILINEAR)


def shrink(image: "Image.Image", size: int) -> "Image.Image":
    """The whole picture, its smaller side scaled to size with an antialiased linear filter."""
    from PIL import Image

    ratio = size / min(image.size)
    width, height = (round(side * ratio) for side in image.size)
    return image.resize((width, height), Image.Resampling.BILINEAR)


def centre_crop(image: "Image.Image", side: int) -> "Image.Image":
    """The centred square of side pixels."""
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return image.crop((left, top, left + side, top + side))


def celeba(image: "Image.Image", size: int) -> "Image.Image":
    """CelebA's: the centred 140 x 140 pixels, shrunk."""
    return shrink(centre_crop(image, 140), size)


def lsun(image: "Image.Image", size: int) -> "Image.Image":
    """LSUN's: at 128 pixels shrunk, then cut; at other sizes `square`."""
    return centre_crop(shrink(image, size), size) if size == 128 else square(image, size)
