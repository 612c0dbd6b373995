"""b_layers: single layers; how one was set is found by trying, for a wrong setting fits no array.

The files name the class of a layer but not its settings. Those that shapes do not tell (activation,
rescaling, filter, which norm) are tried one after the other.
"""

import itertools
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from scoresde_jax.models import attention, blocks, embedding, layers, normalization, refinenet
from scoresde_jax.models import resample as resampling
from tests.golden import golden
from tests.golden.item import FORMULA, Item

KERNELS = ((1, 3, 3, 1), (1, 4, 6, 4, 1), (1, 2, 1), (1, 1), (1, 3, 3, 3, 1))
ACTIVATION = tuple(layers.ACTIVATIONS.values())
NORMS = tuple(normalization.NORMALIZATIONS.values())
EITHER = (True, False)
FILTERED = tuple(
    partial(resample, kernel=kernel)
    for resample in (resampling.fir_upsample, resampling.fir_downsample)
    for kernel in KERNELS
)
RESAMPLE = (blocks.keep_size, resampling.nearest_upsample, resampling.mean_downsample, *FILTERED)


def check(item: Item) -> None:
    """Compares one layer, or the sinusoidal embedding of times."""
    if "module" not in item.config:
        return check_embedding(item)
    name = item.config["module"].strip("'\"").rpartition(".")[2]
    params, bias = as_ours(name, item.params())
    item.compare("out", best(item, settings(name, item, params), params) + bias, FORMULA)


def as_ours(name: str, params: dict[str, Any]) -> tuple[dict[str, Any], Any]:
    """The parameters as our layer has them, and a bias that it leaves to be added.

    The original's instance norms had a switch for the bias; ours have it as the networks had it.
    """
    params = dict(params)
    if name == "GroupNorm":  # here without the module's name before its parameters
        return {key: value.reshape(-1) for key, value in params.items()}, 0.0
    if name == "VarianceNorm2d":
        return params, params.pop("bias", 0.0)
    always = {"InstanceNorm2d": ("scale", "bias"), "InstanceNorm2dPlus": ("gamma", "beta")}
    if name in always:
        scale, shift = always[name]
        params.setdefault(shift, np.zeros_like(params[scale]))
    return params, 0.0


def check_embedding(item: Item) -> None:
    """Compares the embeddings "emb_dim=8" and the like of the same times."""
    label = jnp.asarray(item.given("timesteps"))
    for name in item.names:
        key, _, features = name.partition("=")
        if key == "emb_dim":
            found = embedding.timestep_embedding(label, int(features))
            item.compare(name, found, FORMULA)


def inputs(item: Item) -> tuple[list[Any], bool]:
    """The arrays that the layer was called with, and whether it was told that this is training."""
    names = sorted(n for n in item.names if n.removeprefix("input").isdigit())
    arrays = [item.given(name) for name in names]
    flags = [bool(array) for array in arrays if array.dtype == bool]
    return [jnp.asarray(array) for array in arrays if array.dtype != bool], any(flags)


def best(item: Item, candidates: Iterator[nn.Module], params: dict[str, Any]) -> Any:
    """The output of the first layer that fits, or of the one that fits best."""
    outputs = []
    expected = item.golden.arrays["out"]
    shapes = jax.tree.map(np.shape, params)
    for layer in candidates:
        arguments = called_with(layer, *inputs(item))
        initialize = partial(_initialize, layer, arguments)
        try:
            like, variables = jax.eval_shape(initialize, jax.random.key(0))
        except (ValueError, TypeError):  # this setting is none for arrays of this shape
            continue
        own = jax.tree.map(lambda leaf: leaf.shape, variables.get("params", {}))
        if like.shape != expected.shape or own != shapes:
            continue
        output = np.asarray(layer.apply({"params": params}, *arguments))
        outputs.append((golden.relative_error(output, expected), len(outputs), output))
        if outputs[-1][0] < FORMULA:
            break
    if not outputs:
        raise ValueError(f"no setting of {item.config['module']} has these parameters and shapes")
    return min(outputs, key=lambda entry: entry[:2])[2]


def _initialize(layer: nn.Module, arguments: Sequence[Any], key: Any) -> Any:
    return layer.init_with_output(key, *arguments)


def called_with(layer: nn.Module, arrays: list[Any], train: bool) -> Sequence[Any]:
    """The arguments of a layer: blocks know the time and training, refine blocks take a list."""
    if isinstance(layer, TIMED):
        return arrays[0], arrays[1] if len(arrays) > 1 else None, train
    if isinstance(layer, CLASSED):  # the class is in the norm
        arrays = [array for array in arrays if array.dtype.kind != "i"]
    return [arrays] if isinstance(layer, LISTED) else arrays


TIMED = (blocks.ResnetBlockBigGANpp, blocks.ResnetBlockDDPMpp, blocks.ResnetBlockDDPM)
LISTED = (refinenet.MSFBlock, refinenet.RefineBlock)
CLASSED = (refinenet.ResidualBlock, refinenet.CRPBlock, refinenet.RCUBlock, *LISTED)


def settings(name: str, item: Item, params: dict[str, Any]) -> Iterator[nn.Module]:
    """Every layer of a class that the arrays of a file could be of."""
    channels = item.golden.arrays["out"].shape[-1]
    cls, *fields = choices(channels, norms_for(item, params), params)[name]
    options = fields[0] if fields else {}
    for values in itertools.product(*options.values()):
        yield cls(**dict(zip(options, values, strict=True)))


def norms_for(item: Item, params: dict[str, Any]) -> tuple:
    """The norms of refine networks; that of NCSN is told the class of each example."""
    labels = [array for array in inputs(item)[0] if array.dtype.kind == "i"]
    if not labels:
        return (*NORMS, None)
    tables = [leaf for leaf in jax.tree.leaves(params) if leaf.ndim == 2]
    classes = {len(table) for table in tables}
    return tuple(_conditional(count, labels[0]) for count in classes)


def _conditional(classes: int, index: Any) -> normalization.Normalization:
    return lambda x: normalization.ConditionalInstanceNorm2dPlus(classes)(x, index)


def choices(channels: int, norms: tuple, params: dict[str, Any]) -> dict[str, tuple]:
    """Class name of 2021 -> our class, and its fields' possible values for so many channels out."""
    features = {"features": (channels,)}
    block = features | {"activation": ACTIVATION, "dropout": (0.0,)}
    plus = block | {"skip_rescale": EITHER, "init_scale": (0.0,)}
    resized = {"features": (None, channels), "fir_kernel": ((), *KERNELS)}
    fused = (resampling.upsample_conv, resampling.conv_downsample)
    rows = {len(leaf) for leaf in jax.tree.leaves(params) if leaf.ndim == 2}
    groups = [min(channels // 4, 32), 32, *range(1, channels + 1)]
    groups = [g for g in groups if g and channels % g == 0]
    return {
        "NIN": (layers.NIN, features),
        "Combine": (layers.Combine, {"merge": (jnp.add, layers.concat_channels)}),
        "Upsample": (layers.Upsample, resized),
        "Downsample": (layers.Downsample, resized),
        "Conv2d": (layers.Conv2d, features | {"fused": fused, "fir_kernel": KERNELS}),
        "AttnBlock": (attention.AttnBlock, {"normalize": NORMS}),
        "AttnBlockpp": (attention.AttnBlockpp, {"skip_rescale": EITHER, "init_scale": (0.0,)}),
        "GaussianFourierProjection": (
            embedding.GaussianFourierProjection,
            {"features": (channels // 2,), "scale": (1.0,)},
        ),
        "GroupNorm": (normalization.GroupNorm, {"groups": dict.fromkeys(groups)}),
        "InstanceNorm2d": (normalization.InstanceNorm2d,),
        "InstanceNorm2dPlus": (normalization.InstanceNorm2dPlus,),
        "VarianceNorm2d": (normalization.VarianceNorm2d,),
        "ConditionalInstanceNorm2dPlus": (
            normalization.ConditionalInstanceNorm2dPlus,
            {"classes": rows},
        ),
        "ResnetBlockDDPM": (blocks.ResnetBlockDDPM, block | {"normalize": NORMS}),
        "ResnetBlockDDPMpp": (
            blocks.ResnetBlockDDPMpp,
            plus | {"shortcut": (blocks.nin_shortcut, layers.conv3x3)},
        ),
        "ResnetBlockBigGANpp": (blocks.ResnetBlockBigGANpp, plus | {"resample": RESAMPLE}),
    } | refine_choices(features, norms)


def refine_choices(features: dict[str, tuple], norms: tuple) -> dict[str, tuple]:
    """The same for the parts of NCSN and NCSNv2."""
    residual = features | {"activation": ACTIVATION, "normalize": norms, "pool": EITHER}
    residual |= {"dilation": (1, 2, 4), "down": EITHER}
    chain = features | {"activation": ACTIVATION, "normalize": norms}
    units = {"units": (1, 2, 3), "activation": ACTIVATION, "normalize": norms}
    merged = features | {"normalize": norms, "interpolation": ("bilinear", "nearest")}
    refine = merged | {"activation": ACTIVATION, "last": EITHER}
    return {
        "ConvMeanPool": (refinenet.ConvMeanPool, features | {"kernel": (3, 1)}),
        "ResidualBlock": (refinenet.ResidualBlock, residual),
        "ConditionalResidualBlock": (refinenet.ConditionalResidualBlock, residual),
        "RCUBlock": (refinenet.RCUBlock, units),
        "CondRCUBlock": (refinenet.CondRCUBlock, units),
        "CRPBlock": (refinenet.CRPBlock, chain),
        "CondCRPBlock": (refinenet.CondCRPBlock, chain),
        "MSFBlock": (refinenet.MSFBlock, merged),
        "CondMSFBlock": (refinenet.CondMSFBlock, merged),
        "RefineBlock": (refinenet.RefineBlock, refine),
        "CondRefineBlock": (refinenet.CondRefineBlock, refine),
    }
