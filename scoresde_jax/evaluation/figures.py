"""Pictures: image grids and plots, written whole or not at all. The only file that plots."""

import math
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from scoresde_jax import files
from scoresde_jax.evaluation.agreement import agreement

_GRID_WIDTH = 640  # pixels, about; small images are enlarged by whole factors to fill it


def image_grid(images: np.ndarray, *, columns: int | None = None) -> np.ndarray:
    """Tiles images into one, a pixel of white between them.

    Args:
      images: (N, H, W, C) uint8, C 1 or 3.
      columns: images in a row; about the square root of N if None.

    Returns:
      (H', W', 3) uint8, enlarged by a whole factor so that small images can be seen.
    """
    count, height, width, channels = images.shape
    across = min(count, math.ceil(math.sqrt(count)) if columns is None else columns)
    rows = math.ceil(count / across)
    canvas = np.full((rows * (height + 1) - 1, across * (width + 1) - 1, 3), 255, np.uint8)
    for i, image in enumerate(images):
        top, left = (i // across) * (height + 1), (i % across) * (width + 1)
        canvas[top : top + height, left : left + width] = np.broadcast_to(
            image, (height, width, 3) if channels == 1 else image.shape
        )
    factor = max(1, round(_GRID_WIDTH / canvas.shape[1]))
    return canvas.repeat(factor, axis=0).repeat(factor, axis=1)


def save_png(path: files.Path, image: np.ndarray) -> None:
    """Writes an (H, W, 3) uint8 array as PNG."""
    files.write(path, lambda stream: Image.fromarray(image).save(stream, format="PNG"))


def bpd_figure(
    path: files.Path,
    values: np.ndarray,
    ends: Mapping[str, np.ndarray],
    *,
    title: str,
    unit: str = "bits/dim",
) -> None:
    """Plots the histogram of bits/dim over images, with the likeliest and the unlikeliest of them.

    Args:
      values: (N,) finite.
      ends: what a row shows, and its images (n, H, W, C) uint8.
      title: above the plot.
      unit: of the values.
    """
    figure = _figure((7, 4.5))
    axes = figure.subplots(1 + len(ends), 1, height_ratios=(3, *[1] * len(ends)))
    axes[0].hist(values, bins=40, color="#4477aa")
    axes[0].axvline(values.mean(), color="#cc3311", label=f"mean {values.mean():.3f}")
    axes[0].set(title=title, xlabel=unit, ylabel="images")
    axes[0].legend()
    for axis, (name, images) in zip(axes[1:], ends.items(), strict=True):
        axis.imshow(image_grid(images, columns=len(images)))
        axis.set_ylabel(name, rotation=0, ha="right", va="center")
        axis.set(xticks=[], yticks=[])
    _save(path, figure)


def training_figure(path: files.Path, records: Sequence[dict[str, float]]) -> None:
    """Plots loss, evaluation loss and norm of the gradient over steps.

    Args:
      records: rows of metrics.jsonl.
    """
    figure = _figure((7, 5.5))
    losses, gradient = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    for name, axis, marker in (
        ("loss", losses, ""),
        ("eval_loss", losses, "."),
        ("grad_norm", gradient, ""),
    ):
        rows = [row for row in records if name in row]
        steps, values = [row["step"] for row in rows], [row[name] for row in rows]
        axis.plot(steps, values, marker=marker, label=name.replace("_", " "))
    losses.set(ylabel="loss", yscale="log")
    losses.legend()
    gradient.set(xlabel="step", ylabel="norm of the gradient")
    if any(row.get("grad_norm", 0) > 0 for row in records):
        gradient.set_yscale("log")
    _save(path, figure)


def accuracy_figure(path: files.Path, found: Mapping[str, Any], *, title: str) -> None:
    """Plots how often a classifier is right by the time of the noise, with two standard errors.

    Args:
      found: "times", "accuracy" and "standard_error", one value a time, and "chance".
      title: above the plot.
    """
    figure = _figure((6, 3.5))
    axes = figure.subplots()
    bars = [2 * error for error in found["standard_error"]]
    axes.errorbar(found["times"], found["accuracy"], bars, marker=".", label="test images")
    axes.axhline(found["chance"], color="gray", ls="--", lw=1, label="the commonest class")
    axes.set(title=title, xlabel="t", ylabel="accuracy", ylim=(0, 1.02))
    axes.legend()
    _save(path, figure)


def sweep_figure(path: files.Path, rows: Sequence[dict], *, real: float, title: str) -> None:
    """Plots quality against evaluations, and the error of the flow's solvers, a line per sampler.

    Args:
      rows: of {"sampler", "nfe", "frechet_distance", "rms_error"}; None is left out.
      real: the distance of real images that were not trained on, as a yardstick.
      title: above the plots.
    """
    figure = _figure((10, 5))
    plots = {"frechet_distance": "Frechet distance to training images", "rms_error": "rms error"}
    markers = "os^Dv<>Ph*Xp"
    names = list(dict.fromkeys(row["sampler"] for row in rows))
    for axis, (key, label) in zip(figure.subplots(1, 2), plots.items(), strict=True):
        for i, name in enumerate(names):
            points = [
                (row["nfe"], row[key])
                for row in rows
                if row["sampler"] == name and row[key] is not None
            ]
            if points:
                marker = markers[i % len(markers)]
                style = {"marker": marker, "color": f"C{i % 10}", "markersize": 4, "lw": 1}
                axis.plot(*zip(*sorted(points), strict=True), label=name, **style)
        axis.set(xlabel="evaluations", ylabel=label, xscale="log", yscale="log")
    first, second = figure.axes
    first.axhline(real, color="gray", ls="--", lw=1, label="real test images")
    second.set_title("against the accurate solution")
    first.set_title(title)
    first.legend(fontsize=8)
    _save(path, figure)


def restoration_figure(path: files.Path, columns: Mapping[str, np.ndarray], *, title: str) -> None:
    """Shows images column by column, a name above each.

    Args:
      columns: name -> (N, H, W, C) uint8, one row for each of N images.
      title: above the names.
    """
    parts = list(columns.values())
    channels = max(part.shape[-1] for part in parts)
    rows = np.stack([np.broadcast_to(p, (*p.shape[:-1], channels)) for p in parts], axis=1)
    across, width = rows.shape[1], rows.shape[3]
    grid = image_grid(rows.reshape(-1, *rows.shape[2:]), columns=across)
    inches = max(8.0, grid.shape[1] / 120)
    figure = _figure((inches, inches * grid.shape[0] / grid.shape[1] + 0.6))
    axis = figure.subplots()
    axis.imshow(grid, interpolation="nearest")
    pitch = grid.shape[1] / (across * (width + 1) - 1)  # pixels of the grid per pixel
    places = [(i * (width + 1) + width / 2) * pitch - 0.5 for i in range(across)]
    axis.set_xticks(places, list(columns))
    axis.set_yticks([])
    axis.tick_params(top=True, labeltop=True, bottom=False, labelbottom=False, length=0)
    axis.set_title(title, fontsize=10)
    for side in axis.spines.values():
        side.set_visible(False)
    _save(path, figure)


def agreement_figure(
    path: files.Path,
    first: np.ndarray,
    second: np.ndarray,
    rows: Mapping[str, np.ndarray],
    *,
    title: str,
) -> None:
    """Plots two models' codes of the same images against each other, and shows images below.

    On the left dimensions of codes, in the middle how far apart they are, beside codes of other
    images, on the right the correlation of each dimension, as the pixel it comes from.

    Args:
      first, second: (N, H, W, C), of the one model and of the other.
      rows: what a row shows, and its images (n, H, W, C) uint8.
      title: above the plots.
    """
    figure = _figure((10, 3.8 + 0.62 * len(rows)))
    ratios = 3.8, 0.62 * len(rows)
    above, below = np.asarray(figure.subfigures(2, 1, height_ratios=ratios))
    scatter, histogram, by_pixel = above.subplots(1, 3)
    above.suptitle(title, fontsize=11)
    ends = (-4.0, 4.0)
    some = np.random.default_rng(0).permutation(first.size)[:3000]
    scatter.plot(ends, ends, color="gray", lw=1)
    style = {"ls": "", "marker": ".", "markersize": 2.5, "alpha": 0.35, "color": "#4477aa"}
    scatter.plot(first.ravel()[some], second.ravel()[some], **style)
    scatter.set(xlabel="code by the first", ylabel="code by the second", xlim=ends, ylim=ends)
    scatter.set_aspect("equal")
    for label, codes, color in (
        ("another image", np.roll(second, 1, axis=0), "#bbbbbb"),
        ("the same image", second, "#4477aa"),
    ):
        bins = np.linspace(*ends, 81)
        histogram.hist((first - codes).ravel(), bins, density=True, color=color, label=label)
    histogram.set(xlabel="difference in a dimension", ylabel="density", xlim=ends)
    histogram.set_box_aspect(1)
    histogram.margins(y=0.25)
    histogram.legend(fontsize=8, loc="upper right")
    correlation = agreement(first, second).correlation.reshape(first.shape[1:]).mean(axis=-1)
    shown = by_pixel.imshow(correlation, vmin=min(0.0, correlation.min()), vmax=1.0)
    by_pixel.set(xticks=[], yticks=[], xlabel="correlation of each pixel's dimension")
    above.colorbar(shown, ax=by_pixel, shrink=0.8)
    axes = below.subplots(len(rows), 1, squeeze=False)[:, 0]
    for axis, (name, images) in zip(axes, rows.items(), strict=True):
        axis.imshow(image_grid(images, columns=len(images)), interpolation="nearest")
        axis.set_ylabel(name, rotation=0, ha="right", va="center", fontsize=9)
        axis.set(xticks=[], yticks=[])
        for side in axis.spines.values():
            side.set_visible(False)
    _save(path, figure)


def _figure(size: tuple[float, float]):
    """A figure without pyplot, whose global state and back-end choice a library leaves alone."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _save(path: files.Path, figure) -> None:
    files.write(pathlib.Path(path), lambda stream: figure.savefig(stream, format="png", dpi=120))
