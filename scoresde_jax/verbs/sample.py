"""`--mode sample`: images from noise, or from the latents of test images."""

import pathlib

import jax
import numpy as np

from scoresde_jax import build, encodings, evaluation, files, guidance, programs, tasks
from scoresde_jax.progress import Progress
from scoresde_jax.tables import lookup
from scoresde_jax.verbs.common import mesh_of, open_run, say, user_errors
from scoresde_jax.verbs.guide import open_guidance

SAMPLING_ADVICE = {
    "ode": "raise config.sampling.ode.max_steps, or loosen config.sampling.ode.rtol and .atol",
    "pc": "lower config.sampling.pc.snr, or raise config.sampling.pc.steps",
    "grid": "raise config.sampling.grid.steps, or choose another .solver or .times",
    "adaptive": "raise config.sampling.adaptive.max_steps, or loosen .rtol and .atol",
}


def sample(config: build.Config, workdir: pathlib.Path, *, num_samples: int) -> int:
    """Draws images with the averaged parameters and the sampler of config.sampling.

    Writes samples/<method>_<step>.npz ("samples" uint8 (N, H, W, C), "nfe", "converged") and a PNG
    grid of the same name. With config.sampling.guidance that is <method>_<guidance>_<step>, and
    "labels" are the classes asked for; with config.sampling.latents "interpolation" or
    "reconstruction" it is what the flow makes of the first test images, N of them, under that name.
    Returns 1 if an ODE did not converge or an image is not finite.
    """
    section = config.sampling
    if section.latents != "prior":
        return _encode(config, workdir, num_samples=num_samples)
    with user_errors():
        experiment = build.experiment(config)
        task = tasks.score_task(experiment, config)
        build.guided(config, experiment)  # what does not fit is said before anything is read
        run = open_run(task, config, workdir, mesh_of(config, "sampling"), must_exist=True)
        guided, others = open_guidance(config, experiment, workdir, run.mesh)
    draw = programs.sampling_program(experiment, section.batch_size, run.mesh, guided.score_fn)
    labels = _labels(section, guided.classes, num_samples)
    key = jax.random.key(section.seed)
    progress = Progress("sample", num_samples, unit="image")
    parts = []
    for first in range(0, num_samples, section.batch_size):
        key_of_batch = jax.random.fold_in(key, first // section.batch_size)
        asked = None if labels is None else labels[first : first + section.batch_size]
        params = run.state.ema_params, others, asked
        parts.append(jax.device_get(draw(params, key_of_batch)))
        progress.update(min(first + section.batch_size, num_samples))
    progress.close()
    names = ("samples", "nfe", "converged")
    columns = {
        n: np.concatenate(p)[:num_samples]
        for n, p in zip(names, zip(*parts, strict=True), strict=True)
    }
    name, across = section.method, None
    if section.guidance.method != "none":
        name = f"{name}_{section.guidance.method}"
    if labels is not None:
        columns["labels"] = labels[:num_samples]
        across = guided.classes if section.guidance.image_class is None else None
    target = workdir / "samples" / f"{name}_{run.start}.npz"
    files.write_npz(target, columns)
    grid = evaluation.image_grid(columns["samples"], columns=across)
    evaluation.save_png(target.with_suffix(".png"), grid)
    print(f"{num_samples} images, {columns['nfe'].mean():.0f} evaluations each: {target}")
    failed = np.flatnonzero(~columns["converged"])
    if failed.size:
        say(f"{section.method} found no finite image for {failed.tolist()}; they are black")
        say(SAMPLING_ADVICE[section.method])
        return 1
    return 0


def _labels(section: build.Config, classes: int, count: int) -> np.ndarray | None:
    """The class of every sample, of whole batches; None where there are none to choose from."""
    if not classes:
        return None
    whole = -(-count // section.batch_size) * section.batch_size
    return np.asarray(guidance.class_labels(section.guidance.image_class, classes, whole))


def _encode(config: build.Config, workdir: pathlib.Path, *, num_samples: int) -> int:
    """`sample` of latents that test images have; (rows, columns, H, W, C) are its "samples"."""
    name = config.sampling.latents
    with user_errors():
        where = "config.sampling.latents"
        strips = lookup({"prior": None, **encodings.LATENTS}, name, where)
        experiment = build.experiment(config)
        test_set = build.dataset(config, "test")
        task = tasks.score_task(experiment, config)
        run = open_run(task, config, workdir, mesh_of(config, "sampling"), must_exist=True)
        images = test_set.images[:num_samples]
        if len(images) < num_samples or (name == "interpolation" and num_samples % 2):
            raise ValueError(
                f"--num_samples is {num_samples}: {name} takes test images, of which there are "
                f"{len(test_set.images)}, and interpolation takes them in pairs."
            )
    section = config.sampling
    at = section.seed, run.mesh, section.batch_size
    found = strips(experiment, run.state.ema_params, images, *at)
    target = workdir / "samples" / f"{name}_{run.start}.npz"
    columns = {"samples": found.pixels, "nfe": found.nfe, "converged": found.converged}
    files.write_npz(target, columns)
    across = found.pixels.shape[1] if name == "interpolation" else 2 * (len(images) // 8 or 1)
    grid = found.pixels.reshape(-1, *found.pixels.shape[2:])
    evaluation.save_png(target.with_suffix(".png"), evaluation.image_grid(grid, columns=across))
    print(f"{name} of {len(images)} test images: {target.with_suffix('.png')}")
    failed = np.flatnonzero(~found.converged.all(axis=1))
    if failed.size:
        say(f"the ODE did not converge in rows {failed.tolist()}; those images are black")
        say(SAMPLING_ADVICE["ode"])
        return 1
    return 0
