"""Checkpoints of the 2021 JAX code, score_sde and score_flow: a training state as flax msgpack.

    {step, optimizer: {target, state: {step, param_states: {path: {grad_ema, grad_sq_ema}}}},
     params_ema, lr, ema_rate, model_state, rng}

msgpack holds data only. Arrays are extension values (shape, dtype name, bytes), read here against
a table of dtypes; nothing is allocated for a size that a file only claims.
"""

import pathlib
from typing import Any

import jax.numpy as jnp
import msgpack
import numpy as np

from scoresde_jax.interop.weights import Found, Shapes, flat, named

ORIGIN = "a JAX checkpoint of 2021"
ARRAY, NUMPY_SCALAR = 1, 3  # flax's extension types
DTYPES = {
    name: np.dtype(name)
    for name in ("float16", "float32", "float64", "int32", "int64", "uint8", "uint32", "bool")
} | {"bfloat16": np.dtype(jnp.bfloat16)}
MAX_DIMS = 8
MAX_NAME = 256  # letters of a key; paths repeat the keys above them


def read(path: pathlib.Path, shapes: Shapes) -> Found:
    """Reads a training state; names are flax's already, so `shapes` is for other readers.

    Raises:
      ValueError: it is not one, or is damaged.
    """
    del shapes
    try:
        state = msgpack.unpackb(
            path.read_bytes(),
            raw=False,
            strict_map_key=True,
            max_array_len=64,
            max_str_len=MAX_NAME,
            ext_hook=_extension,
        )
    except (ValueError, TypeError, OverflowError) as error:
        raise ValueError(f"as msgpack it is truncated or damaged ({error}).") from error
    if not isinstance(state, dict) or not {"optimizer", "params_ema"} & state.keys():
        keys = ", ".join(named(key) for key in [*state][:8]) if isinstance(state, dict) else "none"
        raise ValueError(
            "it is no training state of score_sde or score_flow, which has 'optimizer' and "
            f"'params_ema'; its keys are {keys}."
        )
    optimizer = _branch(state, "optimizer")
    adam = _branch(optimizer, "state")
    moments = flat(_branch(adam, "param_states"))
    return Found(
        origin=ORIGIN,
        step=state.get("step"),
        params=flat(_branch(optimizer, "target")),
        ema_params=flat(_branch(state, "params_ema")),
        count=adam.get("step"),
        mu=_of_each(moments, "/grad_ema"),
        nu=_of_each(moments, "/grad_sq_ema"),
    )


def _branch(tree: dict[str, Any], key: str) -> dict[str, Any]:
    """A dict within a dict; empty where there is none."""
    branch = tree.get(key)
    return branch if isinstance(branch, dict) else {}


def _of_each(moments: dict[str, Any], ending: str) -> dict[str, Any]:
    return {p.removesuffix(ending): leaf for p, leaf in moments.items() if p.endswith(ending)}


def _extension(code: int, payload: bytes) -> np.ndarray:
    """An array, or a numpy scalar as an array without dimensions."""
    if code not in (ARRAY, NUMPY_SCALAR):
        raise ValueError(f"extension type {code} is no array")
    shape, name, content = msgpack.unpackb(payload, raw=True, max_array_len=MAX_DIMS)
    dtype = DTYPES.get(name.decode("ascii")) if isinstance(name, bytes) else None
    if dtype is None:
        raise ValueError(f"an array of unknown type {named(name)}")
    if not isinstance(shape, list) or not all(type(size) is int and size >= 0 for size in shape):
        raise ValueError("an array without a shape")
    return np.frombuffer(content, dtype).reshape(shape)  # ValueError where these disagree
