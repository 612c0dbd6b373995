"""The published configs: which of ours stands for which of the original's, by docs/configs.md.

`docs/configs.md` is the one place that says so; here its table is read, and a config is described
in the words of `param_counts.json`.
"""

import functools
import importlib.util
import math
import re
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from scoresde_jax import build

ROOT = Path(__file__).resolve().parents[2]
ROW = re.compile(r"\| `(\S+)` \| `configs/(\w+)/(\w+)\.py:(\w+)` \| ([\d,]+) \|")

SDES = {"vp": "vpsde", "subvp": "subvpsde", "ve": "vesde"}
PREDICTORS = {"ancestral": "ancestral_sampling", "identity": "none"}
CORRECTORS = {"annealed_langevin": "ald", "identity": "none"}


def tables() -> tuple[dict[str, str], dict[str, str], dict[str, int]]:
    """Old names of score_sde and of score_flow to ours, and the sizes that the tables give."""
    text = (ROOT / "docs" / "configs.md").read_text()
    parts = re.split(r"^\| `configs/` of (score_sde|score_flow) ", text, flags=re.MULTILINE)
    found: dict[str, dict[str, str]] = {}
    sizes = {}
    for repository, part in zip(parts[1::2], parts[2::2], strict=True):
        rows = ROW.findall(part)
        found[repository] = {old: f"{sde}/{data}:{variant}" for old, sde, data, variant, _ in rows}
        sizes |= {f"{s}/{d}:{v}": int(size.replace(",", "")) for _, s, d, v, size in rows}
    return found["score_sde"], found["score_flow"], sizes


def config(name: str) -> Any:
    """The resolved config "sde/data:variant"."""
    file, _, variant = name.partition(":")
    path = ROOT / "configs" / f"{file}.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return build.resolve(module.get_config(variant))


def shapes(config: Any) -> dict[str, tuple[int, ...]]:
    """Paths and shapes of a config's parameters; nothing is computed."""
    experiment = build.experiment(config)
    return _shapes(experiment.network, experiment.image_shape)


@functools.cache  # many configs share a network
def _shapes(network: Any, image_shape: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    x = jnp.ones((1, *image_shape))
    output, variables = jax.eval_shape(network.init_with_output, jax.random.key(0), x, jnp.ones(1))
    assert output.shape == x.shape and output.dtype == x.dtype
    leaves = jax.tree_util.tree_leaves_with_path(variables["params"])
    return {"/".join(key.key for key in path): leaf.shape for path, leaf in leaves}


def description(config: Any) -> dict[str, Any]:
    """What `param_counts.json` says of a config, said of ours."""
    sizes = {path: math.prod(shape) for path, shape in shapes(config).items()}
    frozen = sum(n for path, n in sizes.items() if path.startswith("GaussianFourierProjection_"))
    model, pc, discrete = config.model, config.sampling.pc, "n" in config.parameterization
    name = f"ncsnv2_{model.size}" if model.name == "ncsnv2" else model.name
    return {
        "params": sum(sizes.values()),
        "n_tensors": len(sizes),
        "trainable": sum(sizes.values()) - frozen,
        "model": name,
        "image_size": config.data.image_size,
        "num_channels": config.data.channels,
        "sde": SDES[config.sde.name],
        "continuous": not discrete,
        "nf": model.features,
        "num_scales": config.parameterization.n if discrete else pc.steps,
        "sigma_max": config.sde.get("sigma_max"),
        "ema": config.training.ema_decay,
        "reduce_mean": config.loss.reduction == "mean",
        "snr": pc.snr,
        "predictor": PREDICTORS.get(pc.predictor, pc.predictor),
        "corrector": CORRECTORS.get(pc.corrector, pc.corrector),
    }


def differences(old: str, row: dict[str, Any]) -> list[str]:
    """Where our config for an old name differs from the original's row; one line each."""
    names, _, _ = tables()
    if old not in names:
        return [f"{old}: docs/configs.md does not say what it is called here"]
    ours = description(config(names[old]))
    lines = []
    for key, value in row.items():
        # What the original's config says and does not mean, or could not run.
        ignored = (
            key == "note"
            or (key == "sde" and value.startswith("MISSING"))
            or (key == "continuous" and old == "ve/ncsnv2/bedroom")  # a misspelt key left it True
            or (key == "sigma_max" and ours["sigma_max"] is None)  # not read under VP
        )
        if not ignored and ours.get(key) != value:
            lines.append(f"{old}: {key} is {value!r}, ours {ours.get(key)!r}")
    return lines
