"""What one training step needs in memory, by XLA's own account: `python -m benchmarks.memory`.

Published networks are compiled for one TPU v5e, and nothing is run. The compiler comes alone,
without a TPU: `pip install libtpu`. (The CPU's compiler will not do: it undoes recomputation.)
The compiler is told to make no effort for speed, which it otherwise does for many minutes; still
each plan takes some. runs/memory.json keeps what is done, and a second run only adds what is
missing. Writes the table of docs/memory.md.
"""

import importlib
import os
import pathlib
import re
import sys
from functools import partial
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
from jax.experimental import topologies
from jax.sharding import SingleDeviceSharding

from benchmarks.pages import write_between
from scoresde_jax import build, files, training

GIB = 2**30
OUTPUT = pathlib.Path("runs/memory.json")
PAGE = pathlib.Path("docs/memory.md")
BEGIN, END = "<!-- made by benchmarks.memory -->", "<!-- end -->"

# Network -> a variant that has it, and the batch sizes to ask for.
NETWORKS = {
    "DDPM, 35 M, 32 px": ("configs/vp/cifar10.py:ddpm", (128, 16)),
    "DDPM++, 62 M, 32 px": ("configs/vp/cifar10.py:ddpmpp_continuous", (128, 16)),
    "DDPM++ deep, 107 M, 32 px": ("configs/vp/cifar10.py:ddpmpp_deep_continuous", (128, 16)),
    "NCSN++, 63 M, 32 px": ("configs/ve/cifar10.py:ncsnpp_continuous", (128, 16)),
    "NCSN++ deep, 108 M, 32 px": ("configs/ve/cifar10.py:ncsnpp_deep_continuous", (128, 16)),
    "NCSN, 34 M, 32 px": ("configs/ve/cifar10.py:ncsn", (128, 16)),
    "NCSNv2, 34 M, 32 px": ("configs/ve/cifar10.py:ncsnv2", (128, 16)),
    "NCSN++, 63 M, 64 px": ("configs/ve/celeba_64.py:ncsnpp", (128, 16)),
    "NCSNv2, 83 M, 128 px": ("configs/ve/bedroom_128.py:ncsnv2", (128, 16)),
    "DDPM, 112 M, 256 px": ("configs/vp/bedroom_256.py:ddpm", (64, 8)),
    "NCSN++, 66 M, 256 px": ("configs/ve/bedroom_256.py:ncsnpp_continuous", (64, 8)),
    "NCSN++, 106 M, 1024 px": ("configs/ve/ffhq_1024.py:ncsnpp_continuous", (8, 1)),
}
HEIGHTS = tuple(2**n for n in range(2, 11))
SETTINGS: dict[str, dict[str, Any]] = {
    "as published": {},
    "bfloat16": {"model.dtype": "bfloat16"},
    "recomputed": {"model.remat_resolutions": HEIGHTS},
    "both": {"model.dtype": "bfloat16", "model.remat_resolutions": HEIGHTS},
}


def main() -> int:
    """Plans what is missing and writes the table."""
    # What the compiler would otherwise ask the machine it is not on.
    os.environ |= {"TPU_SKIP_MDS_QUERY": "1", "TPU_ACCELERATOR_TYPE": "v5litepod-4"}
    os.environ |= {"TPU_WORKER_HOSTNAMES": "localhost"}
    jax.config.update("jax_exec_time_optimization_effort", -1.0)
    devices = topologies.get_topology_desc(platform="tpu", topology_name="v5e:2x2").devices
    place = SingleDeviceSharding(devices[0])
    plans: dict[str, Any] = files.read_json(OUTPUT) if OUTPUT.exists() else {}
    todo = [(network, i) for i in (0, 1) for network in NETWORKS]
    for network, i in todo:
        name, batches = NETWORKS[network]
        for setting, changes in SETTINGS.items():
            key = f"{network}; {batches[i]}; {setting}"
            if key not in plans:
                plans[key] = plan(name, batches[i], changes, place)
                files.write_json(OUTPUT, plans)
            print(f"{key}: {plans[key]}", flush=True)
    write_between(PAGE, BEGIN, END, table(plans))
    print(f"written to {PAGE}")
    return 0


def plan(
    name: str, batch: int, changes: dict[str, Any], place: SingleDeviceSharding
) -> dict[str, int]:
    """Bytes that one training step of a variant needs: its state, and beyond it."""
    file, _, variant = name.partition(":")
    module = importlib.import_module(file.removesuffix(".py").replace("/", "."))
    config = module.get_config(variant)
    for where, value in changes.items():
        section, key = where.split(".")
        config[section][key] = value
    experiment = build.experiment(build.resolve(config))
    _, optimizer = build.optimizer(config, "optimizer", "training")
    key = jax.random.key(0)
    state = jax.eval_shape(lambda key: training.create(experiment.init_params(key), optimizer), key)
    images = jax.ShapeDtypeStruct((batch, *experiment.image_shape), jnp.uint8)
    step = partial(
        training.train_step, loss_fn=experiment.train_loss, tx=optimizer, ema_decay=0.999
    )
    # Not what this machine would run: no pieces, no unrolled loops.
    with mock.patch.object(jax, "default_backend", lambda: "tpu"):
        program = jax.jit(step, donate_argnums=0, in_shardings=place, out_shardings=place)
        lowered = program.lower(state, jax.eval_shape(lambda: key), images)
    sizes = {"state": sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state))}
    try:
        memory = lowered.compile().memory_analysis()
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        # More than the device has; the compiler says how much it would be.
        found = re.search(r"Used ([\d.]+)([GM]) of", str(error))
        if found is None:
            raise
        used = float(found[1]) * {"G": 2**30, "M": 2**20}[found[2]]
        return sizes | {"temporary": int(used) - sizes["state"]}
    return sizes | {"temporary": memory.temp_size_in_bytes}


def table(plans: dict[str, Any]) -> str:
    """One row per network and batch, one column per setting, GiB."""
    lines = [
        "| network | batch | state | " + " | ".join(SETTINGS) + " |",
        "|---|---|---|" + "---|" * len(SETTINGS),
    ]
    for network, (_, batches) in NETWORKS.items():
        for batch in batches:
            found = [plans.get(f"{network}; {batch}; {setting}") for setting in SETTINGS]
            if not any(found):
                continue
            cells = [f"{p['temporary'] / GIB:.1f}" if p else "" for p in found]
            state = f"{next(p['state'] for p in found if p) / GIB:.2f}"
            lines.append(f"| {network} | {batch} | {state} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
