"""Grids tile as they should, and figures are whole PNG files."""

import numpy as np
import pytest
from PIL import Image

from scoresde_jax import evaluation


def flat_images(count, channels, height=3, width=2):
    """Image i is all i + 1 (times the channel's number plus one), so a tile says whose it is."""
    tone = np.arange(1, count + 1, dtype=np.uint8)[:, None] * np.arange(
        1, channels + 1, dtype=np.uint8
    )
    return np.broadcast_to(tone[:, None, None, :], (count, height, width, channels)).copy()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("count", "columns", "rows", "across"),
    [
        (1, None, 1, 1),
        (5, None, 2, 3),
        (7, None, 3, 3),
        (9, None, 3, 3),
        (5, 2, 3, 2),
        (3, 8, 1, 3),
    ],
)
def test_grid_holds_every_image_in_order(count, channels, columns, rows, across):
    images = flat_images(count, channels)
    grid = evaluation.image_grid(images, columns=columns)
    high, wide = rows * 4 - 1, across * 3 - 1  # 3 x 2 pixels and a line of one between
    factor = grid.shape[1] // wide
    assert grid.dtype == np.uint8 and grid.shape == (high * factor, wide * factor, 3)
    small = grid[::factor, ::factor]
    np.testing.assert_array_equal(small.repeat(factor, 0).repeat(factor, 1), grid)
    covered = np.zeros(small.shape[:2], bool)
    for i in range(count):
        top, left = (i // across) * 4, (i % across) * 3
        tile = small[top : top + 3, left : left + 2]
        np.testing.assert_array_equal(tile, np.broadcast_to(images[i], tile.shape))
        covered[top : top + 3, left : left + 2] = True
    assert (small[~covered] == 255).all()  # lines and empty places are white


def test_large_images_are_not_enlarged():
    assert evaluation.image_grid(np.zeros((1, 700, 800, 3), np.uint8)).shape == (700, 800, 3)


def test_png_is_what_was_given(tmp_path):
    grid = evaluation.image_grid(flat_images(5, 3))
    evaluation.save_png(tmp_path / "a" / "grid.png", grid)
    with Image.open(tmp_path / "a" / "grid.png") as image:
        assert image.size == (grid.shape[1], grid.shape[0]) and image.mode == "RGB"
        np.testing.assert_array_equal(np.asarray(image), grid)


@pytest.mark.parametrize("channels", [1, 3])
def test_bpd_figure_opens(tmp_path, channels):
    images = np.random.default_rng(0).integers(0, 256, (10, 8, 8, channels), np.uint8)
    bpd = np.linspace(1.0, 3.0, 23)
    ends = {"likeliest": images, "unlikeliest": images[::-1]}
    evaluation.bpd_figure(tmp_path / "bpd.png", bpd, ends, title="digits")
    with Image.open(tmp_path / "bpd.png") as image:
        assert image.size == (840, 540)  # 7 x 4.5 inches at 120 a inch
        assert len(image.convert("L").getcolors()) > 2  # something is drawn


def test_training_figure_opens(tmp_path):
    records = [
        {"step": 1, "loss": 1.0, "grad_norm": 2.0},
        {"step": 2, "loss": 0.5, "eval_loss": 0.6},
    ]
    evaluation.training_figure(tmp_path / "training.png", records)
    with Image.open(tmp_path / "training.png") as image:
        assert image.size == (840, 660)


@pytest.mark.parametrize("channels", [1, 3])
def test_agreement_figure_opens(tmp_path, channels):
    codes = np.random.default_rng(0).normal(size=(2, 5, 4, 4, channels))
    images = flat_images(5, channels)
    rows = {"images": images, "own code": images, "the other's code": images[::-1]}
    path = tmp_path / "agreement.png"
    evaluation.agreement_figure(path, *codes, rows, title="digits")
    with Image.open(path) as image:
        assert image.width == 1200  # 10 inches at 120 a inch
        assert len(image.convert("L").getcolors()) > 2
