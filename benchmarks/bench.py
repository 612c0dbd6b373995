"""`make bench`: seconds per step and evaluation, and the same times the machine's speed.

A time means little on a shared machine. Time x R, R being the rate of a 2048 x 2048 float32 matrix
product measured in the same run (GFLOP/s), compares across machines: it is the work, in GFLOP, that
the machine could have done meanwhile. Writes runs/bench.json.
"""

import argparse
import gc
import resource
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from configs.subvp import cifar10, digits
from scoresde_jax import build, files, sampling, training
from scoresde_jax.likelihood.flow import value_and_divergence
from scoresde_jax.sde import ode_drift

PC_STEPS = 20
PC_SHAPES = {"digits": 64, "cifar10_ddpmpp": 8}


def main() -> int:
    """Measures both models, prints a table and writes runs/bench.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3, help="timed calls; the median counts")
    parser.add_argument("--only", choices=list(PC_SHAPES), help="measure one model only")
    parser.add_argument("--output", default="runs/bench.json")
    arguments = parser.parse_args()
    results: dict[str, Any] = {"device": str(jax.devices()[0].device_kind), "R": matmul_rate()}
    print(f"R = {results['R']:.0f} GFLOP/s on {results['device']}", flush=True)
    configs = {"digits": digits.get_config(), "cifar10_ddpmpp": cifar10.get_config()}
    for name, config in configs.items():
        if arguments.only in (None, name):
            results[name] = measure(name, config, arguments.repeats)
            files.write_json(arguments.output, results)
    results["pc_overhead"] = {n: results[n].pop("pc_overhead") for n in configs if n in results}
    results["R_after"] = matmul_rate()
    files.write_json(arguments.output, results)
    print(f"R = {results['R_after']:.0f} GFLOP/s at the end; written to {arguments.output}")
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
    batch = PC_SHAPES[name]
    key = jax.random.key(0)
    compile_seconds: dict[str, float] = {}
    state = jax.jit(lambda k: training.create(experiment.init_params(k), experiment.optimizer))(key)
    x = jax.random.normal(key, (batch, *experiment.image_shape))
    t = jnp.full((batch,), 0.5)

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
        "pc_step", compile_seconds, partial(_pc, experiment, batch), state.params, key
    )
    # Alternating, so that a slow moment of the machine falls on all of them.
    rounds: dict[str, list[float]] = {
        "network_evaluation": [],
        "likelihood_evaluation": [],
        "pc": [],
    }
    for program, arguments in ((network, (state.params, x, t)), (sampler, (state.params, key))):
        timed(program, *arguments)
    for _ in range(repeats):
        calls = [timed(network, state.params, x, t)[1] for _ in range(PC_STEPS)]
        rounds["network_evaluation"].append(statistics.fmean(calls))
        rounds["pc"].append(timed(sampler, state.params, key)[1] / PC_STEPS)
        calls = [timed(linearisation, state.params, x, t)[1] for _ in range(3)]
        rounds["likelihood_evaluation"].append(statistics.fmean(calls))
    overheads = [p / n for p, n in zip(rounds["pc"], rounds["network_evaluation"], strict=True)]
    inference_peak = peak_bytes()

    step = partial(
        training.train_step,
        loss_fn=experiment.train_loss,
        tx=experiment.optimizer,
        ema_decay=config.training.ema_decay,
    )
    images = jnp.zeros((batch, *experiment.image_shape), jnp.uint8)
    del network, linearisation, sampler
    gc.collect()
    train = compiled("training_step", compile_seconds, step, state, key, images, donate_argnums=0)
    state, _ = train(state, key, images)
    training_times = []
    for _ in range(repeats):
        (state, _), seconds = timed(train, state, key, images)
        training_times.append(seconds)
    rate = matmul_rate()
    seconds = {
        "training_step": statistics.median(training_times),
        "network_evaluation": statistics.median(rounds["network_evaluation"]),
        "pc_step": statistics.median(rounds["pc"]),
        "likelihood_evaluation": statistics.median(rounds["likelihood_evaluation"]),
    }
    report(name, batch, seconds, rate, compile_seconds, statistics.median(overheads))
    return {
        "batch": batch,
        "R": rate,
        **{key: value * rate for key, value in seconds.items()},
        "seconds": seconds,
        "compile_seconds": compile_seconds,
        "peak_bytes": peak_bytes(),
        "peak_bytes_inference": inference_peak,
        "pc_overhead": statistics.median(overheads),
    }


def _linearise(experiment: build.Experiment, params: Any, x, t):
    score_fn = experiment.score_fn(params)
    return value_and_divergence(
        lambda x: ode_drift(experiment.sde, score_fn, x, t), x, jnp.ones((1, *x.shape))
    )


def _pc(experiment: build.Experiment, batch: int, params: Any, key):
    return sampling.pc_sample(
        key,
        experiment.sde,
        experiment.score_fn(params),
        (batch, *experiment.image_shape),
        predictor=partial(sampling.euler_maruyama, n=PC_STEPS),
        steps=PC_STEPS,
        t_min=1e-3,
    )


def peak_bytes() -> int:
    """The most memory used so far: the device's where it says, else this process's."""
    stats = jax.devices()[0].memory_stats()
    if stats and "peak_bytes_in_use" in stats:
        return stats["peak_bytes_in_use"]
    scale = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale


def report(name, batch, seconds, rate, compile_seconds, overhead) -> None:
    """Prints one model's table."""
    print(f"\n{name}, batch {batch}, R {rate:.0f} GFLOP/s")
    for key, value in seconds.items():
        print(
            f"  {key:22} {value:9.4f} s {value * rate:9.1f} s x R"
            f"   compiled in {compile_seconds[key]:5.1f} s"
        )
    print(f"  peak memory {peak_bytes() / 1e9:.2f} GB, PC run / (nfe x network) {overhead:.3f}")


if __name__ == "__main__":
    sys.exit(main())
