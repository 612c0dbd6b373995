"""What one training step needs in memory, by XLA's own account: `python -m benchmarks.memory`.

Every published network is compiled and nothing is run. The program asked for is an accelerator's
(no pieces, no unrolled loops, which are for CPUs) on one device, laid out by the XLA of this
machine: another backend fuses differently and needs its own scratch, but keeps the same
activations. Writes runs/memory.json and the table of docs/memory.md; a second run only adds what is
missing.
"""

import importlib
import pathlib
import re
import sys
from functools import partial
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp

from scoresde_jax import build, files, training

GIB = 2**30
OUTPUT = pathlib.Path("runs/memory.json")
PAGE = pathlib.Path("docs/memory.md")

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
CHEAP = {  # code of any speed will do: it is not run
    "xla_backend_optimization_level": 0,
    "xla_llvm_disable_expensive_passes": True,
}
SETTINGS: dict[str, dict[str, Any]] = {
    "as published": {},
    "bfloat16": {"model.dtype": "bfloat16"},
    "recomputed": {"model.remat_resolutions": HEIGHTS},
    "both": {"model.dtype": "bfloat16", "model.remat_resolutions": HEIGHTS},
}


def main() -> int:
    """Plans what is missing and writes the table."""
    plans: dict[str, Any] = files.read_json(OUTPUT) if OUTPUT.exists() else {}
    for network, (name, batches) in NETWORKS.items():
        for batch in batches:
            for setting, changes in SETTINGS.items():
                key = f"{network}; {batch}; {setting}"
                if key not in plans:
                    plans[key] = plan(name, batch, changes)
                    files.write_json(OUTPUT, plans)
                print(f"{key}: {plans[key]['temporary'] / GIB:.2f} GiB", flush=True)
    text = PAGE.read_text()
    PAGE.write_text(re.sub(r"(?s)\n\| network.*?\n\n", f"\n{table(plans)}\n\n", text, count=1))
    print(f"written to {PAGE}")
    return 0


def plan(name: str, batch: int, changes: dict[str, Any]) -> dict[str, int]:
    """Bytes that one training step of a variant needs: its state, and beyond it."""
    file, _, variant = name.partition(":")
    module = importlib.import_module(file.removesuffix(".py").replace("/", "."))
    config = module.get_config(variant)
    for where, value in changes.items():
        section, key = where.split(".")
        config[section][key] = value
    experiment = build.experiment(build.resolve(config))
    key = jax.random.key(0)
    state = jax.eval_shape(
        lambda key: training.create(experiment.init_params(key), experiment.optimizer), key
    )
    images = jax.ShapeDtypeStruct((batch, *experiment.image_shape), jnp.uint8)
    step = partial(
        training.train_step, loss_fn=experiment.train_loss, tx=experiment.optimizer, ema_decay=0.999
    )
    with mock.patch.object(jax, "default_backend", lambda: "an accelerator"):
        lowered = jax.jit(step, donate_argnums=0).lower(state, key, images)
    memory = lowered.compile(CHEAP).memory_analysis()
    return {
        "state": sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state)),
        "temporary": memory.temp_size_in_bytes,
    }


def table(plans: dict[str, Any]) -> str:
    """One row per network and batch, one column per setting, GiB."""
    lines = [
        "| network | batch | state | " + " | ".join(SETTINGS) + " |",
        "|---|---|---|" + "---|" * len(SETTINGS),
    ]
    for network, (_, batches) in NETWORKS.items():
        for batch in batches:
            found = [plans[f"{network}; {batch}; {setting}"] for setting in SETTINGS]
            cells = [f"{p['temporary'] / GIB:.1f}" for p in found]
            state = f"{found[0]['state'] / GIB:.2f}"
            lines.append(f"| {network} | {batch} | {state} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
