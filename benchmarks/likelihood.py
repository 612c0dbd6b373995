"""The likelihood of the test digits: our solver against the scheme of 2021, in one run.

    python -m benchmarks.likelihood --workdir runs/demo

The 2021 scheme: the score and the divergence (by vjp) in calls of their own, all images as one
system of one step size, through scipy's RK45 on the host. Both at the same tolerance, with the same
dequantization and one Rademacher probe. Times are of a second, compiled run.
"""

import argparse
import math
import pathlib
import statistics
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import scipy.integrate

from benchmarks.bench import timed
from configs.subvp import digits
from scoresde_jax import build, compaction, likelihood, ode, scoring, sharding, tasks, workdirs
from scoresde_jax.likelihood.flow import value_and_divergence
from scoresde_jax.progress import Progress
from scoresde_jax.sde import ode_drift


def main() -> int:
    """Prints both times, both counts, and what the difference is made of."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--workdir", type=pathlib.Path, required=True, help="of digits.py")
    parser.add_argument("--tolerance", type=float, default=1e-5)
    parser.add_argument("--images", type=int, default=297)
    arguments = parser.parse_args()
    sharding.split_cpu(None)
    config = digits.get_config()
    config.likelihood.update({"rtol": arguments.tolerance, "atol": arguments.tolerance})
    config.likelihood.max_steps = 10_000
    config = build.resolve(config)
    experiment = build.experiment(config)
    mesh = sharding.device_mesh()
    task = tasks.score_task(experiment, config)
    run = workdirs.open_run(task, config, arguments.workdir, mesh, must_exist=True)
    params = run.state.ema_params
    images = build.dataset(config, "test").images[: arguments.images]
    index = np.arange(len(images))

    scorer = scoring.Scorer(experiment, params, config, mesh, {"uniform": likelihood.uniform})
    scorer.densities("uniform", images, index, Progress("compile", len(images)))
    scorer.rows_computed = 0
    began = time.perf_counter()
    ours = scorer.densities("uniform", images, index, Progress("ours", len(images)))
    seconds = time.perf_counter() - began

    size = config.likelihood.batch_size
    row = row_seconds(experiment, params, size, mesh)
    theirs, their_seconds, nfe = scheme_of_2021(experiment, params, config, images, mesh)
    dims = math.prod(experiment.image_shape)
    apart = np.abs(theirs - ours["logp"]).max() / dims
    rows, needed = scorer.rows_computed, int(ours["nfe"].sum())
    print(f"""
{len(images)} digits, tolerance {arguments.tolerance:g}, {mesh.size} device(s)
  ours          {seconds:7.1f} s   nfe mean {ours["nfe"].mean():.0f}, max {ours["nfe"].max()}
  2021 scheme   {their_seconds:7.1f} s   nfe {nfe}, of all images together
  ratio         {their_seconds / seconds:7.2f}
  rows          {rows} computed, {needed} needed: {rows / needed:.3f}
  of one row    {1e3 * row:7.3f} ms at batch {size}
  ours / (rows x one row) {seconds / (rows * row):.3f}
  largest difference {apart:.1e} nats/dim

512 examples at batch 64, of which 2 % need 20 times as much: \
{skewed_rows():.3f} rows computed for each that is needed""")
    return 0


def skewed_rows() -> float:
    """Rows computed, padding included, over those needed: oscillators, a few 20 times as fast."""
    rng = np.random.default_rng(0)
    speed = rng.uniform(20.0, 30.0, 512).astype(np.float32)
    speed[rng.choice(512, 10, replace=False)] *= 20
    options = {"rtol": 1e-3, "atol": 1e-3, "max_steps": 10_000}

    def field(t, y, speed):
        return speed[:, None] * jnp.stack([y[:, 1], -y[:, 0]], axis=1)

    @jax.jit
    def segment(state, live, fewest):
        before = state._replace(stuck=state.stuck | ~live)
        limits = {"fewest": fewest, "turns": scoring.SEGMENT_TURNS, "leading": field}
        after = ode.advance(field, before, 1.0, **options, **limits)
        turns = jnp.max(after.turns - before.turns)
        running = ode.active(after, 1.0, options["max_steps"])
        return compaction.Segment(after, running, {"nfe": after.nfe}, turns)

    def begin(rows):
        start = jnp.tile(jnp.asarray([1.0, 0.0]), (len(rows), 1))
        return ode.start(start, 0.0, jnp.asarray(speed[rows]))

    parts = list(
        compaction.complete(512, sizes=compaction.ladder(64), begin=begin, advance=segment)
    )
    return sum(part.rows for part in parts) / int(compaction.in_order(parts)["nfe"].sum())


def row_seconds(experiment: build.Experiment, params, size: int, mesh) -> float:
    """Seconds of one value with its divergence, per row of a full batch."""
    shape = (size, *experiment.image_shape)

    @jax.jit
    def linearise(params, x, t, v):
        score_fn = experiment.score_fn(params)
        drift = lambda x: ode_drift(experiment.sde, score_fn, x, t)  # noqa: E731
        return value_and_divergence(drift, x, v)

    split = sharding.batch_sharded(mesh)
    x, t = jax.device_put((jnp.zeros(shape), jnp.full(size, 0.5)), split)
    v = jax.device_put(jnp.ones((1, *shape)), sharding.batch_sharded(mesh, axis=1))
    timed(linearise, params, x, t, v)
    times = [timed(linearise, params, x, t, v)[1] for _ in range(30)]
    return statistics.median(times) / size


def scheme_of_2021(experiment: build.Experiment, params, config, images: np.ndarray, mesh):
    """(log P (N,) nats, seconds of the second run, evaluations) of one system for all images."""
    root = jax.random.key(config.likelihood.seed)
    index = jnp.arange(len(images))

    def keys(purpose: int):
        return jax.vmap(jax.random.fold_in, (None, 0))(jax.random.fold_in(root, purpose), index)

    x0 = experiment.scale_eval(keys(scoring.DEQUANTIZE), jnp.asarray(images))
    v = jax.vmap(lambda key: likelihood.rademacher(key, (1, *x0.shape[1:])))(keys(scoring.PROBE))
    v = v[:, 0]
    options = {"rtol": config.likelihood.rtol, "atol": config.likelihood.atol, "method": "RK45"}
    everywhere = sharding.replicated(mesh)
    more = sharding.round_up(len(images), mesh) - len(images)
    split = sharding.batch_sharded(mesh)

    def placed(array):
        return jax.device_put(np.concatenate([array, array[:more]]), split)

    @jax.jit
    def drift(params, x, t):
        return ode_drift(experiment.sde, experiment.score_fn(params), x, t)

    @jax.jit
    def divergence(params, x, t, v):
        _, pull = jax.vjp(lambda x: drift(params, x, t), x)
        return jnp.sum((pull(v)[0] * v).reshape(len(x), -1), axis=1)

    params = jax.device_put(params, everywhere)
    probe, count = placed(np.asarray(v)), len(images)

    def slope(t: float, y: np.ndarray) -> np.ndarray:
        x = placed(y[: x0.size].reshape(x0.shape).astype(np.float32))
        times = placed(np.full(count, t, np.float32))
        parts = drift(params, x, times), divergence(params, x, times, probe)
        return np.concatenate([np.asarray(part)[:count].ravel() for part in parts])

    start = np.concatenate([np.ravel(x0), np.zeros(count)])
    slope(0.5, start)
    began = time.perf_counter()
    solution = scipy.integrate.solve_ivp(slope, (config.likelihood.t_min, 1.0), start, **options)
    seconds = time.perf_counter() - began
    end = solution.y[:, -1]
    z = jnp.asarray(end[: x0.size].reshape(x0.shape), jnp.float32)
    added = x0[0].size * math.log(experiment.data_scale)
    return experiment.sde.prior_logp(z) + end[x0.size :] + added, seconds, solution.nfev


if __name__ == "__main__":
    sys.exit(main())
