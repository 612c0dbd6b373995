"""What a file of weights holds, and whether it fits a network.

Readers name parameters by their path, "ResnetBlockBigGANpp_0/Conv_0/kernel", and hand over a
`Found`; `complete` checks it against the network and makes `Weights` of it, nested as flax has it.

Not here: the formats, each in a module of its own.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from scoresde_jax.types import Array

Shapes = dict[str, tuple[int, ...]]  # path -> shape, in the order in which the network creates them
Arrays = Mapping[str, np.ndarray]  # path -> array

MAX_STEP = 2**31 - 1  # steps are int32
EXAMPLES = 3  # parameters that a message names


class Found(NamedTuple):
    """What a reader found, unchecked; an empty tree is one that the file does not have."""

    origin: str  # the kind of file, in words
    step: Any
    params: Arrays
    ema_params: Arrays
    count: Any  # Adam's updates
    mu: Arrays
    nu: Arrays


class Weights(NamedTuple):
    """Everything of a training run that a file can carry; trees are nested, leaves float32."""

    step: int
    params: dict[str, Any]
    ema_params: dict[str, Any]
    count: int  # Adam's updates; 0, with zero moments, where the file has none
    mu: dict[str, Any]
    nu: dict[str, Any]
    origin: str = "a run"  # the kind of file, in words
    found: tuple[str, ...] = ()  # what was in the file
    lacks: tuple[str, ...] = ()  # what was not, and what takes its place


def parameter_shapes(init_params: Callable[[Array], Any]) -> Shapes:
    """Shapes of the parameters that `init_params(key)` draws; nothing is compiled.

    They come in the order of creation: jax sorts the keys of whatever leaves a traced function,
    so they are noted inside.
    """
    shapes: Shapes = {}

    def note(key: Array) -> None:
        shapes.update({path: leaf.shape for path, leaf in flat(init_params(key)).items()})

    jax.eval_shape(note, jax.random.key(0))
    return shapes


def complete(found: Found, shapes: Shapes) -> Weights:
    """Checks what was found, and fills in what may be missing.

    Raises:
      ValueError: there are no parameters, they do not fit, or one is not finite.
    """
    if not found.params and not found.ema_params:
        raise ValueError("it holds no parameters.")
    params = _fit(found.params or found.ema_params, shapes, "parameters")
    ema_params = _fit(found.ema_params or found.params, shapes, "averaged parameters")
    has_moments = bool(found.mu and found.nu) and found.count is not None
    zeros = {path: np.zeros(shape, np.float32) for path, shape in shapes.items()}
    contents = (
        ("parameters", found.params, "the averaged ones take their place"),
        ("averaged parameters", found.ema_params, "the parameters take their place"),
        ("optimiser moments", has_moments, "training goes on with fresh ones"),
        ("step", found.step is not None, "it is taken for 0"),
    )
    return Weights(
        0 if found.step is None else whole_number(found.step, "its step"),
        nested(params),
        nested(ema_params),
        whole_number(found.count, "its count of updates") if has_moments else 0,
        nested(_fit(found.mu, shapes, "first moments") if has_moments else zeros),
        nested(_fit(found.nu, shapes, "second moments") if has_moments else zeros),
        found.origin,
        tuple(what for what, there, _ in contents if there),
        tuple(f"{what}; {instead}" for what, there, instead in contents if not there),
    )


def whole_number(value: Any, what: str) -> int:
    """A Python int, or an array of one integer, as an int in [0, 2^31 - 1].

    Raises:
      ValueError: it is anything else.
    """
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.reshape(()).item()
    if isinstance(value, float) and value.is_integer():  # what newer PyTorch counts in
        value = int(value)
    if type(value) is not int or not 0 <= value <= MAX_STEP:
        raise ValueError(f"{what} is not a whole number of steps.")
    return value


def flat(tree: Any) -> dict[str, Any]:
    """{"a": {"b": leaf}} -> {"a/b": leaf}, in order; whatever is not a dict is a leaf."""
    leaves: dict[str, Any] = {}
    waiting: list[tuple[str, Any]] = [("", tree)]
    while waiting:  # no recursion: a file may be nested as deep as it likes
        path, value = waiting.pop()
        if isinstance(value, dict):
            prefix = path and f"{path}/"
            waiting += [(f"{prefix}{key}", inner) for key, inner in reversed(value.items())]
        else:
            leaves[path] = value
    return leaves


def nested(leaves: Mapping[str, Any]) -> dict[str, Any]:
    """{"a/b": leaf} -> {"a": {"b": leaf}}."""
    tree: dict[str, Any] = {}
    for path, leaf in leaves.items():
        *modules, name = path.split("/")
        branch = tree
        for module in modules:
            branch = branch.setdefault(module, {})
        branch[name] = leaf
    return tree


def named(text: Any) -> str:
    """A name out of a file, fit for a message whatever is in it."""
    text = str(text)
    return repr(text if len(text) <= 80 else f"{text[:80]}...")


def _fit(arrays: Arrays, shapes: Shapes, what: str) -> dict[str, np.ndarray]:
    """The arrays as float32, each of the shape that the network wants."""
    arrays = {path: _unpadded(array, shapes.get(path)) for path, array in arrays.items()}
    differing = [*_differences(arrays, shapes)]
    if differing:
        more = len(differing) - EXAMPLES
        raise ValueError(
            f"its {what} are not those of the config's network. "
            f"{'; '.join(differing[:EXAMPLES])}{f'; and {more} more' if more > 0 else ''}. "
            "Choose the config, variant and --config.model options it was trained with."
        )
    fitted = {path: np.asarray(arrays[path], np.float32) for path in shapes}
    broken = [path for path, array in fitted.items() if not np.isfinite(array).all()]
    if broken:
        raise ValueError(
            f"{len(broken)} of its {what} hold NaN or infinity, {named(broken[0])} the first; "
            "the file is damaged, or training had diverged."
        )
    return fitted


def _unpadded(array: Any, wanted: tuple[int, ...] | None) -> Any:
    """(1, 1, 1, C) -> (C,) where that is wanted: GroupNorm as flax stored it in 2021."""
    if wanted is None or not isinstance(array, np.ndarray) or array.shape == wanted:
        return array
    return array.reshape(wanted) if array.shape == (1, 1, 1, *wanted) else array


def _differences(arrays: Mapping[str, Any], shapes: Shapes):
    """One phrase for each parameter that is missing, unexpected, or of another shape or type."""
    for path, wanted in shapes.items():
        if path not in arrays:
            yield f"{path} {wanted} is missing from the file"
        elif not _is_floating(arrays[path]):
            yield f"{path} is no array of real numbers in the file"
        elif arrays[path].shape != wanted:
            yield f"{path} is {wanted} in the network and {arrays[path].shape} in the file"
    for path in (path for path in arrays if path not in shapes):
        shape = getattr(arrays[path], "shape", "")
        yield f"the file has {named(path)} {shape}, the network has not"


def _is_floating(array: Any) -> bool:
    return isinstance(array, np.ndarray) and bool(jnp.issubdtype(array.dtype, jnp.floating))
