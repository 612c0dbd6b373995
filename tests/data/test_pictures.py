"""Pictures of every kind become upright 8-bit pixels of one size, or are refused with a reason."""

import struct
import zlib
from functools import partial

import numpy as np
import pytest
from made_images import encoded, made
from PIL import Image

from scoresde_jax.data import pictures
from scoresde_jax.data.pictures import CorruptImage, UnsuitableImage

RGB, GREY = made(1, 9, 7)[0], made(1, 9, 7, 1)[0]

read = partial(pictures.picture, fit=pictures.square, size=None, channels=None)


def png(width, height, depth, kind, rows):
    """A PNG file by hand: PIL writes no colour of 16 bits."""

    def chunk(name, data):
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    start = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
    return start + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


# Formats and colours


@pytest.mark.parametrize(
    "kind", ["PNG", "BMP", "TIFF", "PPM", "TGA", "SGI", "PCX", "DDS", "JPEG2000"]
)
@pytest.mark.parametrize("image", [RGB, GREY], ids=["rgb", "grey"])
def test_formats_without_loss(kind, image):
    pixels = read(encoded(image, kind))
    assert pixels.dtype == np.uint8
    np.testing.assert_array_equal(pixels, image)


@pytest.mark.parametrize(("kind", "options"), [("GIF", {}), ("WEBP", {"lossless": True})])
def test_formats_that_are_always_in_colour(kind, options):
    np.testing.assert_array_equal(read(encoded(RGB, kind, **options)), RGB)
    np.testing.assert_array_equal(read(encoded(GREY, kind, **options)), GREY.repeat(3, axis=2))


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "AVIF"])
def test_formats_with_loss(kind):
    """A smooth picture at the best quality: within a few levels."""
    ramp = np.arange(32) * 8
    smooth = np.stack(np.broadcast_arrays(ramp[:, None], ramp, 128), axis=-1).astype(np.uint8)
    pixels = read(encoded(smooth, kind, quality=100))
    assert np.abs(pixels.astype(int) - smooth).max() <= 8


def test_channels_are_as_asked():
    both = {c: partial(read, channels=c) for c in (1, 3)}
    np.testing.assert_array_equal(both[3](encoded(GREY)), GREY.repeat(3, axis=2))
    luma = RGB @ np.array([0.299, 0.587, 0.114])  # ITU-R 601
    assert np.abs(both[1](encoded(RGB))[..., 0] - luma).max() <= 0.51  # rounded
    np.testing.assert_array_equal(both[1](encoded(GREY)), GREY)


def test_palettes_and_black_and_white():
    palette = Image.fromarray(GREY[..., 0] // 64, "L").convert("P")
    palette.putpalette(bytes(made(1, 1, 4)[0].ravel()) + bytes(756))
    colours = np.reshape(palette.getpalette(), (-1, 3))
    np.testing.assert_array_equal(read(encoded(palette)), colours[GREY[..., 0] // 64])
    bits = Image.fromarray(GREY[..., 0] > 127)
    assert bits.mode == "1"
    np.testing.assert_array_equal(read(encoded(bits)), (GREY > 127) * np.uint8(255))


def test_cmyk_and_lab():
    cmyk = Image.fromarray(RGB).convert("CMYK")  # without black: 255 - RGB
    np.testing.assert_array_equal(read(encoded(cmyk, "TIFF")), RGB)
    lab = Image.merge("LAB", [Image.new("L", (3, 2), v) for v in (255, 128, 128)])
    assert read(encoded(lab, "TIFF"), channels=1).min() >= 250  # white


def test_transparency_is_laid_on_white_with_a_warning():
    alpha = np.full((9, 7, 1), 255, np.uint8)
    opaque = Image.fromarray(np.concatenate([RGB, alpha], axis=2))
    np.testing.assert_array_equal(read(encoded(opaque)), RGB)  # and no warning: they are errors
    alpha[:, 0], alpha[:, 1] = 0, 128
    with pytest.warns(UserWarning, match="laid on white"):
        pixels = read(encoded(Image.fromarray(np.concatenate([RGB, alpha], axis=2))))
    np.testing.assert_array_equal(pixels[:, 0], 255)
    half = RGB[:, 1] * (128 / 255) + 255 * (127 / 255)
    assert np.abs(pixels[:, 1] - half).max() <= 1
    np.testing.assert_array_equal(pixels[:, 2:], RGB[:, 2:])


def test_transparency_of_grey_and_of_palettes():
    grey = Image.fromarray(GREY[..., 0]).convert("LA")
    np.testing.assert_array_equal(read(encoded(grey)), GREY)
    keyed = Image.fromarray(GREY[..., 0])
    with pytest.warns(UserWarning, match="laid on white"):
        pixels = read(encoded(keyed, transparency=int(GREY[2, 3, 0])))
    assert pixels.shape == (9, 7, 1) and pixels[2, 3, 0] == 255
    with pytest.warns(UserWarning, match="laid on white"):
        pixels = read(encoded(Image.fromarray(RGB), "GIF", transparency=0))
    assert (pixels != RGB).any() and (pixels[(pixels != RGB).any(axis=2)] == 255).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation):
    upright = made(1, 4, 6)[0]
    # How the pixels are stored, for each orientation (EXIF 2.3, tag 0x0112).
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright),
        7: upright[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }[orientation]
    image = Image.fromarray(np.ascontiguousarray(stored))
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(image, exif=exif)
    np.testing.assert_array_equal(read(data), upright)
    assert pictures.upright_size(pictures.header(data)) == (6, 4)


def test_of_an_animation_the_first_frame_is_taken():
    frames = [Image.fromarray(image) for image in made(3, 5, 5)]
    data = encoded(frames[0], "PNG", save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(read(data), made(3, 5, 5)[0])


# What is refused


WIDE = {  # more than 8 bits per channel
    "grey png": encoded(Image.fromarray(np.full((2, 2), 40_000, np.uint16))),
    "grey tiff": encoded(Image.fromarray(np.full((2, 2), 40_000, np.uint16)), "TIFF"),
    "float tiff": encoded(Image.fromarray(np.ones((2, 2), np.float32)), "TIFF"),
    "int tiff": encoded(Image.fromarray(np.ones((2, 2), np.int32)), "TIFF"),
    "rgb png": png(1, 1, 16, 2, b"\0" + bytes(6)),
    "rgba png": png(1, 1, 16, 6, b"\0" + bytes(8)),
    "grey alpha png": png(1, 1, 16, 4, b"\0" + bytes(4)),
    "rgb ppm": b"P6 1 1 65535\n" + bytes(6),
    "plain ppm": b"P3 1 1 65535\n1 2 3\n",
    "grey ppm": b"P5 1 1 65535\n" + bytes(2),
}


@pytest.mark.parametrize("data", WIDE.values(), ids=WIDE)
def test_more_than_8_bits_are_refused(data):
    with pytest.raises(UnsuitableImage, match="more than 8 bits per channel.*float array"):
        read(data)


def test_8_bits_by_hand_are_not():
    assert read(png(1, 1, 8, 2, b"\0\1\2\3")).tolist() == [[[1, 2, 3]]]
    assert read(b"P3 1 1 255\n1 2 3\n").tolist() == [[[1, 2, 3]]]
    assert read(b"P1 2 1\n0 1\n").tolist() == [[[255], [0]]]
    # A BMP of 16 bits per pixel, 5, 6 and 5 of them for red, green and blue, all set.
    head = struct.pack("<2sIHHI", b"BM", 70, 0, 0, 66)
    head += struct.pack("<IiiHHIIiiII", 40, 1, 1, 1, 16, 3, 4, 0, 0, 0, 0)
    head += struct.pack("<III", 0xF800, 0x07E0, 0x001F)
    assert read(head + b"\xff\xff\0\0").tolist() == [[[255, 255, 255]]]


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_truncated_pictures_are_corrupt(kind):
    data = encoded(made(1, 40, 40)[0], kind)
    for size in (0, 10, len(data) // 2, len(data) * 9 // 10):
        with pytest.raises(CorruptImage):
            read(data[:size])


def test_damaged_pictures_raise_nothing_else():
    rng = np.random.default_rng(0)
    for kind in ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PCX", "TGA"):
        whole = encoded(made(1, 12, 12)[0], kind)
        for _ in range(40):
            data = bytearray(whole)
            for place in rng.integers(0, len(data), 4):
                data[place] = rng.integers(256)
            try:
                assert read(bytes(data)).dtype == np.uint8
            except (CorruptImage, UnsuitableImage):
                pass
            except Warning:  # PIL's, of odd metadata; errors in these tests only
                pass


@pytest.mark.parametrize("data", [b"", b"text", b"PK\x03\x04", bytes(100)])
def test_what_is_no_picture_is_corrupt(data):
    with pytest.raises(CorruptImage, match="no picture that PIL can read"):
        read(data)


def test_bombs_are_not_unpacked():
    """2 kB that claim 4 GB."""
    with pytest.raises(CorruptImage, match="claims 8192 x 8193 pixels; at most 67108864 are read"):
        read(png(8192, 8193, 8, 0, bytes(100)))
    with pytest.raises(CorruptImage, match="header cannot be read"):  # PIL's own bound
        read(png(40_000, 40_000, 8, 0, bytes(100)))


def test_formats_that_run_programs_are_not_read():
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 4 4\n%%EndComments\nshowpage\n%%EOF\n"
    with pytest.raises(CorruptImage, match="no picture that PIL can read"):
        read(eps)
    known = pictures.suffixes()
    assert {".png", ".jpg", ".jpeg", ".webp", ".avif", ".tif", ".bmp", ".gif"} <= known
    assert not {".eps", ".ps", ".pdf", ".wmf", ".h5", ".txt"} & known


# Cutting to size


def weights(small, large, kernel, support):
    """Antialiased resampling as a matrix: the kernel widened by the scale, rows summing to 1."""
    scale = large / small
    centre = (np.arange(small)[:, None] + 0.5) * scale
    distance = (np.arange(large) + 0.5 - centre) / max(scale, 1)
    rows = np.where(np.abs(distance) < support, kernel(np.abs(distance)), 0)
    return rows / rows.sum(axis=1, keepdims=True)


def triangle(x):
    return np.maximum(1 - x, 0)


def keys(x, a=-0.5):
    """Keys 1981, with the a of both PIL and TensorFlow."""
    near = ((a + 2) * x - (a + 3)) * x**2 + 1
    return np.where(x < 1, near, ((x - 5) * x + 8) * a * x - 4 * a)


def resampled(image, height, width, kernel, support):
    rows, columns = (
        weights(small, large, kernel, support)
        for small, large in ((height, image.shape[0]), (width, image.shape[1]))
    )
    return np.clip(np.einsum("ij,jkc,lk->ilc", rows, image, columns, optimize=True), 0, 255)


def cut(fit, image, size):
    return read(encoded(image), fit=fit, size=size)


def assert_close(pixels, expected):
    """PIL rounds to 8 bits after each of its two passes: at most 1 level, seldom more than half."""
    error = np.abs(pixels - expected)
    assert pixels.shape == expected.shape and error.max() < 1.3 and error.mean() < 0.4


PORTRAIT = made(1, 61, 47, seed=1)[0] // 2 + np.uint8(60)


@pytest.mark.parametrize("size", [7, 16, 47, 60])
def test_square_is_the_centre_by_a_cubic_filter(size):
    centre = PORTRAIT[7:54]
    assert_close(cut(pictures.square, PORTRAIT, size), resampled(centre, size, size, keys, 2))
    wide = PORTRAIT.transpose(1, 0, 2)
    expected = resampled(centre.transpose(1, 0, 2), size, size, keys, 2)
    assert_close(cut(pictures.square, wide, size), expected)


def test_stretch_is_all_of_it_by_a_linear_filter():
    assert_close(cut(pictures.stretch, PORTRAIT, 16), resampled(PORTRAIT, 16, 16, triangle, 1))


def test_celeba_is_the_middle_140_pixels():
    face = made(1, 218, 178, seed=2)[0]
    middle = face[39:179, 19:159]
    assert_close(cut(pictures.celeba, face, 64), resampled(middle, 64, 64, triangle, 1))
    np.testing.assert_array_equal(cut(pictures.celeba, face, 140), middle)


def test_lsun_is_shrunk_and_cut_at_128_and_cut_and_shrunk_elsewhere():
    scene = made(1, 256, 341, seed=3)[0]
    shrunk = resampled(scene, 128, 170, triangle, 1)  # 341 / 2 = 170.5, rounded to even
    assert_close(cut(pictures.lsun, scene, 128), shrunk[:, 21:149])
    np.testing.assert_array_equal(cut(pictures.lsun, scene, 256), scene[:, 42:298])
    expected = resampled(scene[:, 42:298], 64, 64, keys, 2)
    assert_close(cut(pictures.lsun, scene, 64), expected)


@pytest.mark.parametrize("fit", [pictures.square, pictures.stretch, pictures.lsun])
def test_what_has_the_size_is_left_as_it_is(fit):
    image = made(1, 8, 8)[0]
    np.testing.assert_array_equal(cut(fit, image, 8), image)
    found = pictures.array_fitted(image, fit=fit, size=8, channels=3)
    assert found is image


def test_arrays_are_cut_as_files_are():
    for image in (PORTRAIT, PORTRAIT[..., :1]):
        for channels in (1, 3):
            from_array = pictures.array_fitted(
                image, fit=pictures.square, size=16, channels=channels
            )
            from_file = read(encoded(image), size=16, channels=channels)
            np.testing.assert_array_equal(from_array, from_file)
