"""Whether Hutch++ would estimate the divergence better than Hutchinson's probes, at equal cost.

    python -m benchmarks.trace --workdir runs/demo

Takes whole Jacobians of the probability flow of a digits model (64 x 64) at test images and times,
and gives the standard deviation of tr J / dims for m products with J: Hutchinson with m Rademacher
probes, exactly, and Hutch++ (Meyer et al. 2021, algorithm 1) with m / 3 each for the sketch, its
image and the remainder, over many draws.
"""

import argparse
import pathlib
import sys

import jax
import jax.numpy as jnp
import numpy as np

from configs.subvp import digits
from scoresde_jax import build, sharding, tasks, workdirs
from scoresde_jax.sde import ode_drift

TIMES = (0.01, 0.03, 0.1, 0.3, 0.6, 0.9)
PRODUCTS = (3, 6, 12, 24)
IMAGES, DRAWS = 8, 400


def main() -> int:
    """Prints one row per time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--workdir", type=pathlib.Path, required=True, help="of digits.py")
    arguments = parser.parse_args()
    config = build.resolve(digits.get_config())
    experiment = build.experiment(config)
    task = tasks.score_task(experiment, config)
    mesh = sharding.device_mesh()
    run = workdirs.open_run(task, config, arguments.workdir, mesh, must_exist=True)
    score_fn = experiment.score_fn(run.state.ema_params)
    images = jnp.asarray(build.dataset(config, "test").images[:IMAGES])
    keys = jax.random.split(jax.random.key(0), IMAGES)
    x0 = experiment.scale_eval(keys, images)
    dims = x0[0].size

    @jax.jit
    def jacobians(key, t):
        mean, std = experiment.sde.marginal(x0, t)
        x = mean + std.reshape(-1, 1, 1, 1) * jax.random.normal(key, x0.shape)

        def push(axis):
            v = jnp.broadcast_to(axis.reshape(x.shape[1:]), x.shape)
            return jax.jvp(lambda x: ode_drift(experiment.sde, score_fn, x, t), (x,), (v,))[1]

        columns = jax.lax.map(push, jnp.eye(dims))
        return jnp.moveaxis(columns.reshape(dims, IMAGES, dims), 0, 2)

    rng = np.random.default_rng(0)
    print("std of tr J / dims in 1e-3, Hutchinson / Hutch++, for m products with J")
    print("t      " + "".join(f"m = {m:<13}" for m in PRODUCTS))
    for i, t in enumerate(TIMES):
        found = jacobians(jax.random.key(i), jnp.full(IMAGES, t))
        matrices = np.asarray(found, np.float64)
        cells = []
        for m in PRODUCTS:
            one = np.sqrt(np.mean([hutchinson_variance(j, m) for j in matrices]))
            two = np.sqrt(np.mean([hutchpp_variance(rng, j, m) for j in matrices]))
            cells.append(f"{1e3 * one / dims:7.3f} / {1e3 * two / dims:7.3f}")
        print(f"{t:<7g}" + "".join(f"{cell:<17}" for cell in cells))
    return 0


def hutchinson_variance(j: np.ndarray, m: int) -> float:
    """Of the mean of v^T J v over m vectors of signs: 2 |off-diagonal of (J + J^T) / 2|^2 / m."""
    symmetric = (j + j.T) / 2
    return 2 * (np.sum(symmetric**2) - np.sum(np.diag(symmetric) ** 2)) / m


def hutchpp_variance(rng: np.random.Generator, j: np.ndarray, m: int) -> float:
    """Of tr(Q^T J Q) and Hutchinson of what Q, from a sketch J S, leaves; over draws."""
    dims, third = len(j), m // 3
    estimates = []
    for _ in range(DRAWS):
        sketch, probes = rng.choice([-1.0, 1.0], (2, dims, third))
        q = np.linalg.qr(j @ sketch)[0]
        rest = probes - q @ (q.T @ probes)
        estimates.append(np.trace(q.T @ j @ q) + np.sum(rest * (j @ rest)) / third)
    return float(np.var(estimates, ddof=1))


if __name__ == "__main__":
    sys.exit(main())
