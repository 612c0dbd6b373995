"""Our networks from the 2021 configs, run as the original ran them.

The original's networks centre data that lie in [0, 1] and divide their output by sigma themselves;
ours leave both to the parameterisation (`scoresde_jax/score.py`), so `apply` adds them.
"""

import json
from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from scoresde_jax import score
from scoresde_jax.models import DDPM, NCSN, NCSNpp, NCSNv2
from scoresde_jax.sde import SDE, VESDE, VPSDE
from scoresde_jax.types import Array, bcast

NCSNPP = {  # the original's key -> our field
    "nf": "features",
    "ch_mult": "channel_multipliers",
    "num_res_blocks": "blocks_per_level",
    "attn_resolutions": "attention_resolutions",
    "dropout": "dropout",
    "resamp_with_conv": "resample_with_conv",
    "conditional": "conditional",
    "fir": "fir",
    "fir_kernel": "fir_kernel",
    "skip_rescale": "skip_rescale",
    "resblock_type": "block",
    "progressive": "progressive",
    "progressive_input": "progressive_input",
    "progressive_combine": "progressive_combine",
    "embedding_type": "embedding",
    "fourier_scale": "fourier_scale",
    "init_scale": "init_scale",
    "nonlinearity": "activation",
}
DDPM_FIELDS = ("nf", "ch_mult", "num_res_blocks", "attn_resolutions", "dropout")
DDPM_FIELDS += ("resamp_with_conv", "conditional", "nonlinearity")
NORMALIZATIONS = {
    "GroupNorm": "group",
    "InstanceNorm": "instance",
    "InstanceNorm++": "instance++",
    "VarianceNorm": "variance",
}
INTERPOLATIONS = {"bilinear": "bilinear", "nearest_neighbor": "nearest"}


def network(full: Mapping[str, Any]) -> nn.Module:
    """Our network for a 2021 config, the "full" of a golden file's config."""
    model = full["model"]
    name = model["name"]
    if name == "ncsnpp":
        return NCSNpp(**_fields(model, NCSNPP))
    if name == "ddpm":
        fields = _fields(model, DDPM_FIELDS)
        return DDPM(**fields, normalization=NORMALIZATIONS[model["normalization"]])
    fields = _fields(model, ("nf", "nonlinearity"))
    fields["interpolation"] = INTERPOLATIONS[model["interpolation"]]
    if name == "ncsn":
        return NCSN(**fields, classes=model["num_classes"])
    family, _, size = name.partition("_")
    if family != "ncsnv2":
        raise ValueError(f"config.full.model.name is {name!r}, which is no network of 2021")
    normalization = NORMALIZATIONS[model["normalization"]]
    return NCSNv2(**fields, size=int(size), normalization=normalization)


def _fields(model: Mapping[str, Any], keys) -> dict[str, Any]:
    """The named keys of the original's config as fields of ours; it ignored the case of words."""

    def value(key: str) -> Any:
        found = model[key]
        if isinstance(found, str):
            return found.lower()
        return tuple(found) if isinstance(found, list) else found

    return {NCSNPP[key]: value(key) for key in keys}


def apply(full: Mapping[str, Any], params: Any, x: Array, label: Array) -> Array:
    """The output of the 2021 network, (B, H, W, C): our network's, where needed over sigma."""
    x = jnp.asarray(x) if full["data"]["centered"] else score.to_centered(jnp.asarray(x))
    return divided(full, raw(full, params, x, jnp.asarray(label)), label)


def raw(full: Mapping[str, Any], params: Any, x: Array, label: Array) -> Array:
    """The output of our network."""
    return jnp.asarray(network(full).apply({"params": params}, x, label))


def compiled(full: Mapping[str, Any]) -> Callable[[Any, Array, Array], Array]:
    """`raw` compiled, once for every shape of x however many files have this network."""
    return _compiled(json.dumps(full, sort_keys=True))


@cache
def _compiled(full: str) -> Callable[[Any, Array, Array], Array]:
    return jax.jit(partial(raw, json.loads(full)))


def divided(full: Mapping[str, Any], output: Array, label: Array) -> Array:
    """An output over sigma, if that is what the original's network returned."""
    model = full["model"]
    return output / bcast(sigma(model, label), output) if model["scale_by_sigma"] else output


def sigma(model: Mapping[str, Any], label: Array) -> Array:
    """The noise scale that a network with `scale_by_sigma` divides by, (B,).

    Fourier networks are given it as their label. To the others the label is a position in the list
    from sigma_max down to sigma_min; JAX reads the nearest end for positions beyond it.
    """
    if _is_fourier(model):
        return jnp.asarray(label)
    last = model["num_scales"] - 1
    position = jnp.clip(jnp.asarray(label).astype(jnp.int32), 0, last)
    return VESDE(model["sigma_min"], model["sigma_max"]).sigma(1 - position / max(last, 1))


def _is_fourier(model: Mapping[str, Any]) -> bool:
    return model["name"] == "ncsnpp" and model["embedding_type"].lower() == "fourier"


def parameterization(
    full: Mapping[str, Any], sde: SDE, n: int, *, continuous: bool
) -> score.Parameterization:
    """Our row of the table for a network that the original used with this SDE and N = n."""
    model, is_ve = full["model"], isinstance(sde, VESDE)
    fields = {"input": score.as_is if full["data"]["centered"] else score.to_centered}
    if is_ve and continuous:
        row = score.ve_continuous(sde, **fields)
    elif is_ve:
        row = score.ve_discrete(sde, n=n, **fields)
    elif continuous or not isinstance(sde, VPSDE):  # sub-VP knew continuous times only
        row = score.vp_continuous(sde, **fields)
    else:
        row = score.vp_discrete(sde, n=n, **fields)
    if not is_ve and not model["scale_by_sigma"]:
        return row
    if is_ve and model["scale_by_sigma"] and _same_sigmas(model, sde, n, continuous):
        return row

    def scale(t: Array) -> Array:
        # The network divided by sigmas of its own, or by none, whatever the SDE's are.
        once = jnp.ones_like(t) if is_ve else row.scale(t)
        return divided(full, once, row.label(t))

    return row._replace(scale=scale)


def _same_sigmas(model: Mapping[str, Any], sde: VESDE, n: int, continuous: bool) -> bool:
    """Whether the sigma that the network divided by is that of the SDE, as our rows have it."""
    if _is_fourier(model):
        return continuous
    of_model = model["sigma_min"], model["sigma_max"], model["num_scales"]
    return not continuous and of_model == (sde.sigma_min, sde.sigma_max, n)


def shapes(net: nn.Module, image_shape: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    """The paths and shapes of a network's parameters for images (H, W, C), nothing allocated."""
    images = jnp.ones((1, *image_shape))
    tree = jax.eval_shape(net.init, jax.random.key(0), images, jnp.ones(1))["params"]
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {"/".join(key.key for key in path): leaf.shape for path, leaf in leaves}
