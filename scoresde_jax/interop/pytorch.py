"""Checkpoints of score_sde_pytorch, the PyTorch port: NCSN++, DDPM++ and DDPM.

    {model: {"module.all_modules.4.Conv_0.weight": tensor}, step,
     ema: {shadow_params: [tensor]}, optimizer: {state: {0: {step, exp_avg, exp_avg_sq}},
                                                 param_groups: [{params: [0, 1, 2]}]}}

The port keeps the parts of a network in one list, in the order in which flax creates them, and
inside a part it has flax's names; so parameters are matched by name. Averages and optimiser go by
the order of `model`, the averages without the Fourier frequencies, which are not trained.

Layouts: convolutions (out, in, h, w) -> (h, w, in, out), dense layers (out, in) -> (in, out); the
affine maps called NIN are (in, out) in both.

Not here: NCSN and NCSNv2. The port's resize with aligned corners and take other variances than the
JAX code, so that the same weights are another function.
"""

import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from scoresde_jax.interop import torchfile
from scoresde_jax.interop.torchfile import Tensor
from scoresde_jax.interop.weights import Found, Shapes, named, whole_number

PART = "all_modules."
LEAVES = {"kernel": "weight", "scale": "weight"}  # flax's name: the port's, where they differ
NO_PARAMETERS = {"sigmas"}  # a buffer; noise levels are the SDE's business here

Tensors = Mapping[str, Any]  # in flax's names; Tensors, unless the file is odd


def read(path: pathlib.Path, shapes: Shapes) -> Found:
    """Reads a checkpoint for a network whose parameters have these `shapes`.

    Raises:
      ValueError: it is not one, is damaged, or holds more than data.
    """
    checkpoint = torchfile.load(path)
    model = _branch(checkpoint, "model")
    keys = [key for key in model if _bare(key) not in NO_PARAMETERS]
    if not keys:
        raise ValueError("it is a PyTorch file, but has no 'model' as score_sde_pytorch writes it.")
    for key in keys:
        if not _bare(key).startswith(PART):
            raise ValueError(
                f"its network has {named(key)}, so it is not NCSN++, DDPM++ or DDPM as in "
                "score_sde_pytorch. (NCSN and NCSNv2 of that code compute another function than "
                "the JAX code's, whatever their weights.)"
            )
    names = _flax_names([_bare(key) for key in keys], shapes)
    params = dict(zip(names, (model[key] for key in keys), strict=True))
    frozen = {name for key, name in zip(keys, names, strict=True) if _is_frozen(_bare(key))}
    count, mu, nu = _moments(_branch(checkpoint, "optimizer"), names)
    return Found(
        "a checkpoint of score_sde_pytorch",
        step=checkpoint.get("step"),
        params=_arrays(params),
        ema_params=_arrays(_averages(_branch(checkpoint, "ema"), params, frozen)),
        count=count,
        mu=_arrays(mu) | _zeros(names, mu, shapes),
        nu=_arrays(nu) | _zeros(names, nu, shapes),
    )


def _branch(tree: Any, key: str) -> dict[Any, Any]:
    """A dict within a dict; empty where there is none."""
    branch = tree.get(key) if isinstance(tree, dict) else None
    return branch if isinstance(branch, dict) else {}


def _bare(key: Any) -> str:
    return str(key).removeprefix("module.")  # of torch.nn.DataParallel


def _is_frozen(key: str) -> bool:
    """Whether it is the Fourier frequencies: the only part with a W of its own."""
    return key.split(".")[2:] == ["W"]


def _flax_names(keys: list[str], shapes: Shapes) -> list[str]:
    """The path of each parameter in our network; its own name where there is no such path."""
    numbers = {int(n) for key in keys if (n := key.split(".")[1]).isdecimal() and len(n) < 6}
    parts = dict.fromkeys(path.split("/")[0] for path in shapes)
    number_of = dict(zip(parts, sorted(numbers), strict=False))  # unequal: reported as a misfit
    known = {}
    for path in shapes:
        part, *inner, leaf = path.split("/")
        if part.startswith("Combine_"):
            inner = ["Conv"]  # the port calls it so without a number
        if part in number_of:
            name = ".".join([str(number_of[part]), *inner, LEAVES.get(leaf, leaf)])
            known[PART + name] = path
    return [known.get(key, key) for key in keys]


def _averages(ema: dict[Any, Any], params: Tensors, frozen: set[str]) -> Tensors:
    """The averages, which are a list of what is trained, with what is not trained put back."""
    shadow = ema.get("shadow_params")
    if not isinstance(shadow, list):
        return {}
    trained = [name for name in params if name not in frozen]
    if len(shadow) != len(trained):
        raise ValueError(f"it averages {len(shadow)} of {len(trained)} trained parameters.")
    return {**params, **dict(zip(trained, shadow, strict=True))}


def _moments(optimizer: dict[Any, Any], names: list[str]) -> tuple[int | None, Tensors, Tensors]:
    """Adam's count and moments; None and nothing where there are none."""
    groups, state = optimizer.get("param_groups"), _branch(optimizer, "state")
    lists = [
        group["params"]
        for group in (groups if isinstance(groups, list) else [])
        if isinstance(group, dict) and isinstance(group.get("params"), list)
    ]
    if not state or not all("exp_avg" in _branch(state, position) for position in state):
        return None, {}, {}
    count = sum(map(len, lists))  # before they are joined: one list may be there a million times
    positions = [position for each in lists for position in each] if count == len(names) else []
    # Whole numbers only: hashing anything else may be made to overflow the stack.
    if not all(type(position) is int for position in positions) or state.keys() - {*positions}:
        raise ValueError(f"its optimiser has {count} of {len(names)} parameters.")
    entries = {n: state[p] for p, n in zip(positions, names, strict=True) if p in state}
    counts = {whole_number(_array(e.get("step"), ""), "Adam's step") for e in entries.values()}
    if len(counts) != 1:
        raise ValueError("its optimiser has updated some parameters more often than others.")
    mu, nu = ({n: e.get(key) for n, e in entries.items()} for key in ("exp_avg", "exp_avg_sq"))
    return counts.pop(), mu, nu


def _zeros(names: list[str], moments: Tensors, shapes: Shapes) -> dict[str, np.ndarray]:
    """Moments of what has none, as it has no gradient: where there are any, zeros, as in JAX."""
    missing = [name for name in names if name in shapes and name not in moments]
    return {name: np.zeros(shapes[name], np.float32) for name in missing} if moments else {}


def _arrays(tensors: Tensors) -> dict[str, Any]:
    return {name: _array(tensor, name.rpartition("/")[2]) for name, tensor in tensors.items()}


def _array(tensor: Any, leaf: str) -> Any:
    """A tensor as an array in flax's layout; what is no tensor stays what it is."""
    if not isinstance(tensor, Tensor):
        return tensor
    array = tensor.array()
    if leaf in ("kernel", "weight") and array.ndim == 4:
        return array.transpose(2, 3, 1, 0)
    return array.T if leaf == "kernel" and array.ndim == 2 else array
