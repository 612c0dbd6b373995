"""Files of weights for tests: the golden ones, and writers of both formats of PyTorch.

The writers emit pickle opcodes by hand, from what `torch.save` is seen to write, so that no test
needs PyTorch.
"""

import functools
import io
import pathlib
import struct
import zipfile
from typing import Any, NamedTuple

import flax.serialization
import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np

from scoresde_jax import interop
from scoresde_jax.models import NCSNpp

GOLDEN = pathlib.Path(__file__).parent / "golden" / "k_checkpoints"
NAMES = ("ddpmpp_vp", "ncsnpp_ve")
TINY = {
    "features": 8,
    "channel_multipliers": (1, 1),
    "blocks_per_level": 1,
    "attention_resolutions": (4,),
    "dropout": 0.0,
}
NETWORKS = {
    "ddpmpp_vp": NCSNpp(**TINY),
    "ncsnpp_ve": NCSNpp(**TINY, fir=True, progressive_input="residual", embedding="fourier"),
}


def jax_file(name):
    return GOLDEN / name / "jax" / "checkpoints" / "checkpoint_1"


def torch_file(name):
    return GOLDEN / name / "torch" / "checkpoints" / "checkpoint_1.pth"


@functools.cache
def shapes_of(network, size=8, channels=3):
    """The parameters of a network, in creation order."""
    x, label = jnp.zeros((1, size, size, channels)), jnp.ones((1,))
    return interop.parameter_shapes(
        lambda key: network.init({"params": key, "dropout": key}, x, label)["params"]
    )


def golden_shapes(name):
    return shapes_of(NETWORKS[name])


def flat(tree):
    return flax.traverse_util.flatten_dict(tree, sep="/")


def nested(leaves):
    return flax.traverse_util.unflatten_dict(leaves, sep="/")


def random_weights(shapes, *, seed=0, step=7):
    """Weights in which every number is another one; second moments are positive."""
    rng = np.random.default_rng(seed)

    def tree():
        return nested({k: rng.normal(size=s).astype(np.float32) for k, s in shapes.items()})

    nu = jax.tree.map(np.square, tree())
    return interop.Weights(step, tree(), tree(), step, tree(), nu)


def assert_same(a, b):
    """Both are the same weights, bit for bit."""
    assert (a.step, a.count) == (b.step, b.count)
    for field in ("params", "ema_params", "mu", "nu"):
        ours, theirs = flat(getattr(a, field)), flat(getattr(b, field))
        assert ours.keys() == theirs.keys()
        for path, leaf in ours.items():
            assert leaf.dtype == theirs[path].dtype == np.float32
            np.testing.assert_array_equal(leaf, theirs[path], err_msg=f"{field} {path}")


# ------------------------------------------------------------------------------------- JAX, 2021


def original_state(weights):
    """The training state of the 2021 code; GroupNorm is (1, 1, 1, C)."""

    def stored(tree):
        return nested(
            {
                path: leaf.reshape(1, 1, 1, -1) if "GroupNorm_" in path else leaf
                for path, leaf in flat(tree).items()
            }
        )

    moments = {f"{path}/grad_ema": leaf for path, leaf in flat(stored(weights.mu)).items()}
    moments |= {f"{path}/grad_sq_ema": leaf for path, leaf in flat(stored(weights.nu)).items()}
    adam = {"step": np.int32(weights.count), "param_states": nested(moments)}
    return {
        "step": np.int32(weights.step),
        "optimizer": {"target": stored(weights.params), "state": adam},
        "lr": np.float32(2e-4),
        "model_state": {},
        "ema_rate": np.float32(0.999),
        "params_ema": stored(weights.ema_params),
        "rng": np.zeros(2, np.uint32),
    }


def write_original(path, state):
    path.write_bytes(flax.serialization.msgpack_serialize(state))
    return path


# ------------------------------------------------------------------------------------- pickles


class Global(NamedTuple):
    """module, name"""

    module: str
    name: str


class Call(NamedTuple):
    function: Any
    arguments: tuple


class Persistent(NamedTuple):
    name: Any


TORCH_DTYPES = {
    "<f4": "Float",
    "<f8": "Double",
    "<f2": "Half",
    "<i8": "Long",
    "bfloat16": "BFloat16",
}


class Strided(NamedTuple):
    """A tensor that is a view; a plain array is one that fills its storage."""

    storage: np.ndarray
    offset: int
    shape: tuple
    stride: tuple


def pickled(value) -> bytes:
    """A pickle, protocol 2, of a tree of data, globals and calls."""
    return b"\x80\x02" + _opcodes(value) + b"."


def _opcodes(value) -> bytes:
    match value:
        case None:
            return b"N"
        case bool():
            return b"\x88" if value else b"\x89"
        case int():
            if -(2**31) <= value < 2**31:
                return b"J" + struct.pack("<i", value)
            return b"\x8a\x0a" + value.to_bytes(10, "little")
        case float():
            return b"G" + struct.pack(">d", value)
        case str():
            return b"X" + struct.pack("<I", len(value.encode())) + value.encode()
        case Global(module, name):
            return f"c{module}\n{name}\n".encode()
        case Call(function, arguments):
            return _opcodes(function) + _opcodes(tuple(arguments)) + b"R"
        case Persistent(name):
            return _opcodes(name) + b"Q"
        case dict():
            items = b"".join(_opcodes(k) + _opcodes(v) for k, v in value.items())
            return b"}(" + items + b"u"
        case list():
            return b"](" + b"".join(map(_opcodes, value)) + b"e"
        case tuple():
            return b"(" + b"".join(map(_opcodes, value)) + b"t"
    raise TypeError(type(value))


# ------------------------------------------------------------------------------------- torch.save


def _with_tensors(value, storages, legacy):
    """The value with its arrays as PyTorch pickles tensors; notes the bytes of each storage."""
    match value:
        case Strided():
            view = value
        case np.ndarray():
            strides = tuple(s // value.itemsize for s in np.empty(value.shape, value.dtype).strides)
            view = Strided(value.ravel(), 0, value.shape, strides)
        case dict():
            return {k: _with_tensors(v, storages, legacy) for k, v in value.items()}
        case list():
            return [_with_tensors(v, storages, legacy) for v in value]
        case _:
            return value
    key = str(len(storages))
    storages[key] = view.storage
    kind = TORCH_DTYPES.get(view.storage.dtype.str) or TORCH_DTYPES[view.storage.dtype.name]
    name = ("storage", Global("torch", f"{kind}Storage"), key, "cpu", view.storage.size)
    name += (None,) if legacy else ()
    hooks = Call(Global("collections", "OrderedDict"), ())
    arguments = (Persistent(name), view.offset, view.shape, view.stride, False, hooks)
    return Call(Global("torch._utils", "_rebuild_tensor_v2"), arguments)


def write_zip(path, value, **entries):
    """What torch.save writes since 1.6; `entries` are written beside or instead of its own."""
    storages: dict[str, np.ndarray] = {}
    program = pickled(_with_tensors(value, storages, legacy=False))
    return write_entries(
        path,
        {
            "data.pkl": program,
            "byteorder": b"little",
            **{f"data/{key}": storage.tobytes() for key, storage in storages.items()},
            "version": b"3\n",
            **entries,
        },
    )


def write_entries(path, entries, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in entries.items():
            archive.writestr(f"archive/{name}", content)
    return path


def write_legacy(path, value):
    """What torch.save wrote before."""
    storages: dict[str, np.ndarray] = {}
    out = io.BytesIO()
    out.write(pickled(0x1950A86A20F9469CFC6C))
    out.write(pickled(1001))
    out.write(pickled({"protocol_version": 1001, "little_endian": True, "type_sizes": {"int": 4}}))
    out.write(pickled(_with_tensors(value, storages, legacy=True)))
    out.write(pickled(sorted(storages)))
    for key in sorted(storages):
        out.write(struct.pack("<q", storages[key].size) + storages[key].tobytes())
    path.write_bytes(out.getvalue())
    return path


# ------------------------------------------------------------------------------------- the port


def port_name(path, parts):
    """The port's name of a parameter; `parts` are the network's, in order."""
    part, *inner, leaf = path.split("/")
    if part.startswith("Combine_"):
        inner = ["Conv"]
    leaf = {"kernel": "weight", "scale": "weight"}.get(leaf, leaf)
    return ".".join(["module.all_modules", str(parts.index(part)), *inner, leaf])


def port_array(path, array):
    """An array in PyTorch's layout, contiguous."""
    leaf = path.rpartition("/")[2]
    if array.ndim == 4 and leaf in ("kernel", "weight"):
        array = array.transpose(3, 2, 0, 1)
    elif array.ndim == 2 and leaf == "kernel":
        array = array.T
    return np.ascontiguousarray(array)


def port_checkpoint(weights, shapes, *, order=list):
    """The dict that the port saves; `order` shuffles the paths, as another registration would."""
    parts = list(dict.fromkeys(path.split("/")[0] for path in shapes))
    paths = order(list(shapes))
    trained = [path for path in paths if not path.startswith("GaussianFourier")]

    def arrays(tree, paths):
        leaves = flat(tree)
        return {path: port_array(path, leaves[path]) for path in paths}

    mu, nu = arrays(weights.mu, trained), arrays(weights.nu, trained)
    state = {
        paths.index(path): {"step": weights.count, "exp_avg": mu[path], "exp_avg_sq": nu[path]}
        for path in trained
    }
    model = {port_name(path, parts): a for path, a in arrays(weights.params, paths).items()}
    return {
        "optimizer": {
            "state": state,
            "param_groups": [{"lr": 2e-4, "params": list(range(len(paths)))}],
        },
        "model": {"module.sigmas": np.ones(10)} | model,
        "ema": {
            "decay": 0.999,
            "num_updates": weights.step,
            "shadow_params": list(arrays(weights.ema_params, trained).values()),
        },
        "step": weights.step,
    }
