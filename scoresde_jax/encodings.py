"""The flow in pictures: latents of given images, images between them, and noise becoming images."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from scoresde_jax import build, sampling, sharding
from scoresde_jax.progress import Progress
from scoresde_jax.types import Samples, bcast

COLUMNS = 9  # images from one end of an interpolation to the other, or from noise to image
STEPS_BETWEEN = 4  # steps of the sampler from one column of `denoising` to the next
STRIP_T_MIN = 1e-2  # where it ends; what is left of noise cannot be seen


class Strips(NamedTuple):
    """Rows of images that belong together."""

    pixels: np.ndarray  # (rows, columns, H, W, C) uint8
    nfe: np.ndarray  # (rows, columns) int32, evaluations of its decoding
    converged: np.ndarray  # (rows, columns) bool


def interpolations(
    experiment: build.Experiment,
    params: Any,
    images: np.ndarray,
    seed: int,
    mesh: Mesh,
    batch_size: int,
) -> Strips:
    """Images between the first and second, third and fourth, ... of (N, H, W, C) uint8 images.

    Both are encoded, and what lies on the arc between the latents is decoded.
    """
    encode, decode = _programs(experiment, mesh, batch_size)
    z = jnp.asarray(encode(params, _dequantized(experiment, images, seed)).x)
    path = sampling.spherical_interpolation(z[0::2], z[1::2], COLUMNS)
    path = np.asarray(jnp.moveaxis(path, 0, 1))  # (rows, columns, H, W, C)
    decoded = decode(params, path.reshape(-1, *path.shape[2:]))
    return _strips(experiment, decoded, COLUMNS)


def reconstructions(
    experiment: build.Experiment,
    params: Any,
    images: np.ndarray,
    seed: int,
    mesh: Mesh,
    batch_size: int,
) -> Strips:
    """(N, H, W, C) uint8 images: each as it is, and as it is once encoded and decoded."""
    encode, decode = _programs(experiment, mesh, batch_size)
    z = encode(params, _dequantized(experiment, images, seed)).x
    found = _strips(experiment, decode(params, z), 1)
    x = experiment.scale_cells(jnp.asarray(images) + 0.5)
    given = np.asarray(experiment.to_pixels(x))[:, None]
    return found._replace(pixels=np.concatenate([given, found.pixels], axis=1))


def denoising(
    experiment: build.Experiment, params: Any, count: int, seed: int, mesh: Mesh
) -> Strips:
    """How noise becomes images along the flow: two rows for each of `count` samples.

    The upper shows x_t, scaled to what x_0 of unit variance would have, the lower the x_0 that is
    expected there; from t = 1 on the left, in even steps of the log-SNR.
    """
    sde = experiment.sde
    times = sampling.log_snr_grid(sde, COLUMNS * STEPS_BETWEEN, STRIP_T_MIN)
    first = np.arange(COLUMNS) * STEPS_BETWEEN

    @jax.jit
    def draw(params, key):
        score_fn = experiment.score_fn(params)
        x = sde.prior_sample(key, (sharding.round_up(count, mesh), *experiment.image_shape))
        x = jax.lax.with_sharding_constraint(x, sharding.batch_sharded(mesh))

        def column(x, times):
            alpha, std = sde.marginal(jnp.ones(()), times[0])
            shown = x / jnp.sqrt(alpha**2 + std**2)
            pair = shown, sampling.denoised(sde, score_fn, x, times[0])
            return sampling.dpm_solver_2m(key, sde, score_fn, x, times).x, jnp.stack(pair)

        between = first[:, None] + np.arange(STEPS_BETWEEN + 1)
        return jax.lax.scan(column, x, times[between])[1]

    found = np.asarray(draw(params, jax.random.key(seed)))[:, :, :count]  # (columns, 2, count, ...)
    rows = np.moveaxis(found, (2, 1, 0), (0, 1, 2)).reshape(2 * count, COLUMNS, *found.shape[3:])
    pixels = np.asarray(experiment.to_pixels(jnp.asarray(rows)))
    nfe = np.broadcast_to(first + 1, rows.shape[:2])
    finite = np.asarray(np.isfinite(rows).all(axis=(2, 3, 4)))
    return Strips(pixels, nfe.astype(np.int32), finite)


def _strips(experiment: build.Experiment, decoded: Samples, columns: int) -> Strips:
    """Rows of so many images; one that did not converge is black."""
    whole = jnp.asarray(decoded.converged)
    x = jnp.where(bcast(whole, decoded.x), decoded.x, 0.0)
    pixels = jnp.where(bcast(whole, x), experiment.to_pixels(x), jnp.uint8(0))
    parts = (np.asarray(part) for part in (pixels, decoded.nfe, decoded.converged))
    return Strips(*(part.reshape(-1, columns, *part.shape[1:]) for part in parts))


def in_batches(
    program: Callable[[Any, jax.Array], Samples],
    params: Any,
    x: np.ndarray,
    *,
    batch_size: int,
    mesh: Mesh,
    progress: Progress,
) -> Samples:
    """Carries any number of images, or latents, through the flow, as many at a time as fit.

    Args:
      program: compiled; of the parameters and x (batch_size, ...), as of `experiment.encode`.
      x: (N, ...); the last batch is filled up with its first.
      batch_size: a multiple of the devices; fewer are carried where there are fewer.
      progress: counts to N.
    """
    batch_size, parts = min(batch_size, sharding.round_up(len(x), mesh)), []
    for first in range(0, len(x), batch_size):
        part = x[first : first + batch_size]
        filled = np.concatenate([part, *[part[:1]] * (batch_size - len(part))])
        found = program(params, jax.device_put(filled, sharding.batch_sharded(mesh)))
        parts.append(jax.device_get(found))
        progress.update(first + len(part))
    progress.close()
    return jax.tree.map(lambda *leaves: np.concatenate(leaves)[: len(x)], *parts)


LATENTS: dict[str, Callable[..., Strips]] = {
    "interpolation": interpolations,
    "reconstruction": reconstructions,
}


def _dequantized(experiment: build.Experiment, images: np.ndarray, seed: int) -> np.ndarray:
    keys = jax.random.split(jax.random.key(seed), len(images))
    return np.asarray(experiment.scale_eval(keys, jnp.asarray(images)))


def _programs(
    experiment: build.Experiment, mesh: Mesh, batch_size: int
) -> tuple[Callable[..., Samples], Callable[..., Samples]]:
    """Encoding of images and decoding of latents, (parameters, x (N, ...)) -> N of them."""

    def carried(name: str, move: Callable) -> Callable[..., Samples]:
        program = jax.jit(lambda params, x: move(experiment.score_fn(params), x))

        def all_of(params: Any, x: np.ndarray) -> Samples:
            progress = Progress(name, len(x), unit="image")
            options: dict[str, Any] = {"batch_size": batch_size, "mesh": mesh}
            return in_batches(program, params, x, progress=progress, **options)

        return all_of

    return carried("encode", experiment.encode), carried("decode", experiment.decode)
