"""`make bench`: seconds per step and evaluation, and the same times the machine's speed.

A time means little on a shared machine. Time x R, R being the rate of a 2048 x 2048 float32 matrix
product measured in the same run (GFLOP/s), compares across machines: it is the work, in GFLOP, that
the machine could have done meanwhile. Writes runs/bench.json.
"""

import argparse
import gc
import pathlib
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from configs.subvp import cifar10, digits
from scoresde_jax import build, files, programs, sampling, sharding, tasks, training
from scoresde_jax.likelihood.flow import value_and_divergence
from scoresde_jax.sde import ode_drift

PC_STEPS = 20
BATCH_SIZES = {"digits": 64, "cifar10_ddpmpp": 8}


def main(argv: list[str] | None = None) -> int:
    """Measures both models, each in a process of its own, and writes runs/bench.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3, help="timed calls; the median counts")
    parser.add_argument("--only", choices=list(BATCH_SIZES), help="measure one model only")
    parser.add_argument("--cpu_devices", type=int, help="as main.py's; by default as main.py")
    parser.add_argument("--output", default="runs/bench.json")
    arguments = parser.parse_args(argv)
    if arguments.only is None:
        for name in BATCH_SIZES:
            own = [sys.executable, "-m", "benchmarks.bench", "--only", name]
            subprocess.run([*own, *(argv or sys.argv[1:])], check=True)
        return 0
    name, output = arguments.only, pathlib.Path(arguments.output)
    sharding.split_cpu(arguments.cpu_devices)
    results: dict[str, Any] = files.read_json(output) if output.exists() else {}
    results |= {"device": str(jax.devices()[0].device_kind), "R": matmul_rate()}
    config = {"digits": digits, "cifar10_ddpmpp": cifar10}[name].get_config()
    results[name] = measure(name, config, arguments.repeats)
    results["pc_overhead"] = max(results[n]["pc_overhead"] for n in BATCH_SIZES if n in results)
    files.write_json(output, results)
    print(f"written to {output}", flush=True)
    return 0


def matmul_rate() -> float:
    """GFLOP/s of a 2048 x 2048 x 2048 float32 product, the best of ten."""
    a = jnp.ones((2048, 2048))
    product = jax.jit(jnp.matmul)
    seconds = min(timed(product, a, a)[1] for _ in range(10))
    return 2 * 2048**3 / seconds / 1e9


def timed(function: Callable, *arguments: Any) -> tuple[Any, float]:
    """The result of a call and its seconds, waiting for the device."""
    start = time.perf_counter()
    result = jax.block_until_ready(function(*arguments))
    return result, time.perf_counter() - start


def compiled(name: str, seconds: dict[str, float], function: Callable, *arguments: Any, **options):
    """Compiles ahead of time and notes how long that took."""
    start = time.perf_counter()
    program = jax.jit(function, **options).lower(*arguments).compile()
    seconds[name] = time.perf_counter() - start
    return program


def measure(name: str, config: build.Config, repeats: int) -> dict[str, Any]:
    """All figures of one model at its bench batch size."""
    experiment = build.experiment(build.resolve(config))
    mesh = sharding.device_mesh()
    everywhere, split = sharding.replicated(mesh), sharding.batch_sharded(mesh)
    batch = BATCH_SIZES[name]
    key = jax.device_put(jax.random.key(0), everywhere)
    task = tasks.score_task(experiment, build.resolve(config))
    fresh = jax.jit(
        lambda k: training.create(task.init_params(k), task.optimizer),
        out_shardings=everywhere,
    )
    state = fresh(key)
    x = jax.device_put(jnp.zeros((batch, *experiment.image_shape)), split)
    t = jax.device_put(jnp.full((batch,), 0.5), split)
    compile_seconds: dict[str, float] = {}
    network = compiled(
        "network_evaluation",
        compile_seconds,
        lambda params, x, t: experiment.score_fn(params)(x, t),
        *(state.params, x, t),
    )
    linearisation = compiled(
        "likelihood_evaluation",
        compile_seconds,
        partial(_linearise, experiment),
        *(state.params, x, t),
    )
    sampler = compiled(
        "pc_step",
        compile_seconds,
        partial(_pc, experiment, batch, split),
        *(state.params, key),
    )
    # Alternating, so that a slow moment of the machine falls on all of them.
    names = ("network_evaluation", "likelihood_evaluation", "pc_step")
    rounds: dict[str, list[float]] = {name: [] for name in names}
    timed(network, state.params, x, t)
    timed(sampler, state.params, key)
    for _ in range(repeats):
        calls = [timed(network, state.params, x, t)[1] for _ in range(PC_STEPS)]
        rounds["network_evaluation"].append(statistics.fmean(calls))
        rounds["pc_step"].append(timed(sampler, state.params, key)[1] / PC_STEPS)
        calls = [timed(linearisation, state.params, x, t)[1] for _ in range(3)]
        rounds["likelihood_evaluation"].append(statistics.fmean(calls))
    pairs = zip(rounds["pc_step"], rounds["network_evaluation"], strict=True)
    overhead = statistics.median(pc / one for pc, one in pairs)
    inference_peak = sharding.peak_bytes()
    del network, linearisation, sampler
    gc.collect()
    shape = (batch, *experiment.image_shape)
    rounds["training_step"] = _training(task, mesh, shape, state, repeats)
    compile_seconds["training_step"] = rounds["training_step"].pop(0)
    rate = matmul_rate()
    seconds = {name: statistics.median(times) for name, times in rounds.items()}
    report(name, batch, mesh.size, seconds, rate, compile_seconds, overhead)
    return {
        "batch": batch,
        "devices": mesh.size,
        "R": rate,
        **{key: value * rate for key, value in seconds.items()},
        "seconds": seconds,
        "compile_seconds": compile_seconds,
        "peak_bytes": sharding.peak_bytes(),
        "peak_bytes_inference": inference_peak,
        "pc_overhead": overhead,
    }


def _training(task, mesh, shape, state, repeats) -> list[float]:
    """Seconds of the first call, which compiles, and of `repeats` more."""
    advance = programs.training_program(task, mesh)
    images = np.zeros((1, *shape), np.uint8)
    times = []
    for _ in range(1 + repeats):
        (state, _), seconds = timed(advance, state, images, 1)
        times.append(seconds)
    return times


def _linearise(experiment: build.Experiment, params: Any, x, t):
    score_fn = experiment.score_fn(params)
    return value_and_divergence(
        lambda x: ode_drift(experiment.sde, score_fn, x, t), x, jnp.ones((1, *x.shape))
    )


def _pc(experiment: build.Experiment, batch: int, split: jax.NamedSharding, params: Any, key):
    drawn = sampling.pc_sample(
        key,
        experiment.sde,
        experiment.score_fn(params),
        (batch, *experiment.image_shape),
        predictor=partial(sampling.euler_maruyama, n=PC_STEPS),
        steps=PC_STEPS,
        t_min=1e-3,
    )
    return jax.lax.with_sharding_constraint(drawn.x, split)


def report(name, batch, devices, seconds, rate, compile_seconds, overhead) -> None:
    """Prints one model's table."""
    print(f"\n{name}, batch {batch} on {devices} device(s), R {rate:.0f} GFLOP/s")
    for key, value in seconds.items():
        print(
            f"  {key:22} {value:9.4f} s {value * rate:9.1f} s x R"
            f"   compiled in {compile_seconds[key]:5.1f} s"
        )
    peak = sharding.peak_bytes() / 1e9
    print(f"  peak memory {peak:.2f} GB, PC run / (nfe x network) {overhead:.3f}")


if __name__ == "__main__":
    sys.exit(main())
