"""Weights of FID's network: the file that PyTorch programs share, and a safetensors form of it.

    pt_inception-2015-12-05-6726825d.pth   (pytorch-fid; torch-fidelity's begins with "weights")

The name ends in the first digits of its sha256, as those of PyTorch's hub do, by which it is known.
It is a dict of tensors, six for each convolution:

    Mixed_5b.branch1x1.conv.weight (out, in, h, w), .bn.{weight, bias, running_mean, running_var}
    (out,), .bn.num_batches_tracked (), which is of no use here;   fc.weight (1008, 2048), fc.bias

Batch normalisation, y -> weight (y - mean) / sqrt(var + 1e-3) + bias, is folded into the kernel and
bias of the convolution before it, in float64.  The safetensors form has the same tensors under the
same names, and in its metadata the sha256 of the file that they came from, which is taken at its
word, and of the tensors, which is not.
"""

import contextlib
import functools
import hashlib
import json
import pathlib
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from scoresde_jax import files
from scoresde_jax.interop import torchfile
from scoresde_jax.interop.weights import EXAMPLES, Shapes, named, nested, parameter_shapes
from scoresde_jax.models.inception import SIZE, InceptionV3

HASH = "6726825d"
FORMAT, VERSION = "scoresde_jax inception", "1"
EPSILON = 1e-3  # of batch normalisation; PyTorch's own default is another
COUNT = ".bn.num_batches_tracked"  # absent from files older than PyTorch 0.4.1
MAX_SIZE = 1 << 30  # bytes; eleven times what the network needs
DENSE = "fc"
TORCH_NAMES = {"kernel": "weight", "bias": "bias"}
STATISTICS = ("weight", "bias", "running_mean", "running_var")

Tensors = Mapping[str, np.ndarray]


class InceptionWeights(NamedTuple):
    """Parameters of `models.inception.InceptionV3`, and the sha256 of the PyTorch file, in hex."""

    params: dict[str, Any]
    sha256: str


def read_inception(path: files.Path, *, allow_any_hash: bool = False) -> InceptionWeights:
    """Reads either form.

    Args:
      allow_any_hash: whether it may be another file than FID's; what comes of it is no FID.

    Raises:
      ValueError: the file cannot be read, is another one, is damaged, asks to run code, or does not
        fit the network; nothing of it is executed, whatever it holds.
    """
    path = pathlib.Path(path)
    with _about(path):
        tensors, sha256 = _read(path, allow_any_hash)
        return InceptionWeights(folded(tensors), sha256)


def convert_inception(
    source: files.Path, path: files.Path, *, allow_any_hash: bool = False
) -> None:
    """Writes the safetensors form of `source`, whole or not at all; raises as `read_inception`."""
    source = pathlib.Path(source)
    with _about(source):
        tensors, sha256 = _read(source, allow_any_hash)
        folded(tensors)  # so that what is written can be read
    tensors = {name: np.ascontiguousarray(tensors[name]) for name in tensor_shapes()}
    metadata = {
        "format": FORMAT,
        "version": VERSION,
        "source_sha256": sha256,
        "tensors_sha256": _digest(tensors),
    }
    files.write(path, lambda stream: stream.write(save(tensors, metadata)))


@functools.cache
def tensor_shapes() -> Shapes:
    """Names and shapes of a file's tensors, without the counts."""
    x = jnp.zeros((1, SIZE, SIZE, 3))
    found: Shapes = {}
    for path, shape in parameter_shapes(lambda key: InceptionV3().init(key, x)["params"]).items():
        module, _, leaf = path.replace("/", ".").rpartition(".")
        if module == DENSE:
            found[f"{module}.{TORCH_NAMES[leaf]}"] = shape[::-1]
        elif leaf == "kernel":
            height, width, inputs, outputs = shape
            found[f"{module}.conv.weight"] = (outputs, inputs, height, width)
            found |= {f"{module}.bn.{name}": (outputs,) for name in STATISTICS}
    return found


def folded(tensors: Tensors) -> dict[str, Any]:
    """The tensors of a file as parameters of `InceptionV3`.

    Raises:
      ValueError: some are missing, unknown, of another shape or type, or not finite.
    """
    fitting = _fit(tensors)
    leaves = {f"{DENSE}/{leaf}": fitting[f"{DENSE}.{name}"].T for leaf, name in TORCH_NAMES.items()}
    for name in (name for name in fitting if name.endswith(".conv.weight")):
        module = name.removesuffix(".conv.weight")
        weight, bias, mean, var = (fitting[f"{module}.bn.{part}"] for part in STATISTICS)
        scale = weight / np.sqrt(np.asarray(var, np.float64) + EPSILON)
        path = module.replace(".", "/")
        leaves[f"{path}/kernel"] = fitting[name].transpose(2, 3, 1, 0) * scale
        leaves[f"{path}/bias"] = bias - mean * scale
    return nested({path: np.ascontiguousarray(leaf, np.float32) for path, leaf in leaves.items()})


def _fit(tensors: Tensors) -> dict[str, np.ndarray]:
    """What the network needs of them, as float32, in its order."""
    differing = [*_differences(tensors)]
    if differing:
        more = len(differing) - EXAMPLES
        raise ValueError(
            "it is not FID's network. "
            f"{'; '.join(differing[:EXAMPLES])}{f'; and {more} more' if more > 0 else ''}."
        )
    with np.errstate(over="ignore"):  # found below
        fitting = {name: np.asarray(tensors[name], np.float32) for name in tensor_shapes()}
    for name, array in fitting.items():
        if not np.isfinite(array).all():
            raise ValueError(f"{name} holds NaN or infinity.")
        if name.endswith("running_var") and (array < 0).any():
            raise ValueError(f"{name} holds a variance below zero.")
    return fitting


def _differences(tensors: Tensors) -> Iterator[str]:
    """One phrase for each tensor that is missing, unexpected, or of another shape or type."""
    shapes = tensor_shapes()
    for name, wanted in shapes.items():
        if name not in tensors:
            yield f"{name} {wanted} is missing"
        elif not _is_floating(tensors[name]):
            yield f"{name} is no array of real numbers"
        elif tensors[name].shape != wanted:
            yield f"{name} is {tensors[name].shape} and should be {wanted}"
    for name in tensors:
        # One for each normalisation, of no use here.
        counted = str(name).removesuffix(COUNT)
        if name not in shapes and f"{counted}.bn.weight" not in shapes:
            yield f"{named(name)} is not in it"


def _is_floating(array: Any) -> bool:
    return isinstance(array, np.ndarray) and bool(np.issubdtype(array.dtype, np.floating))


def _read(path: pathlib.Path, allow_any_hash: bool) -> tuple[Tensors, str]:
    """The tensors of either form, and the sha256 of the PyTorch file."""
    size = path.stat().st_size
    if not path.is_file():
        raise ValueError("it is not a regular file.")
    if size > MAX_SIZE:
        raise ValueError(f"it has {size} bytes; the network needs 96 million.")
    with open(path, "rb") as stream:
        is_safetensors = stream.read(9)[4:] == b"\0\0\0\0{"  # length of a JSON header; its start
        stream.seek(0)
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    if is_safetensors:
        tensors, sha256 = _read_safetensors(path, sha256)
        _check_hash(sha256, allow_any_hash)
        return tensors, sha256
    _check_hash(sha256, allow_any_hash)  # before anything of it is looked at
    content = torchfile.load(path)
    if not isinstance(content, dict):
        raise ValueError("it is a PyTorch file, but no dict of tensors.")
    tensors = {k: v.array() if isinstance(v, torchfile.Tensor) else v for k, v in content.items()}
    return tensors, sha256


def _check_hash(sha256: str, allow_any_hash: bool) -> None:
    if not allow_any_hash and not sha256.startswith(HASH):
        raise ValueError(
            f"its sha256 begins with {sha256[: len(HASH)]}, that of FID's network with {HASH}. It "
            "is another file, or did not arrive whole; take pt_inception-2015-12-05-6726825d.pth."
        )


def _read_safetensors(path: pathlib.Path, own: str) -> tuple[Tensors, str]:
    """Tensors, and the sha256 of the source: `own`, the file's, where it names none."""
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}
    # TypeError and AttributeError: a type unlike numpy's.
    except (SafetensorError, TypeError, AttributeError) as error:
        raise ValueError(f"as safetensors it is truncated or damaged ({error}).") from error
    if metadata.get("format") != FORMAT:
        return tensors, own
    if metadata.get("version") != VERSION:
        raise ValueError(f"it is of version {named(metadata.get('version'))}, not {VERSION}.")
    if metadata.get("tensors_sha256") != _digest(tensors):
        raise ValueError("its tensors are not those that were written; convert the .pth anew.")
    sha256 = metadata.get("source_sha256", "")
    if not re.fullmatch("[0-9a-f]{64}", sha256):
        raise ValueError("its metadata hold no source_sha256.")
    return tensors, sha256


def _digest(tensors: Tensors) -> str:
    """The sha256 of names, types, shapes and bytes."""
    digest = hashlib.sha256()
    for name, array in sorted(tensors.items()):
        digest.update(json.dumps([name, array.dtype.str, array.shape]).encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


@contextlib.contextmanager
def _about(path: pathlib.Path) -> Iterator[None]:
    """Messages say which file they are about."""
    try:
        yield
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror or error}.") from error
    except ValueError as error:
        raise ValueError(f"{path} cannot be used for FID: {error}") from error
