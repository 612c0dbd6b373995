"""Both formats of torch.save come out as they went in; sizes are checked before they are used."""

import io
import zipfile

import jax.numpy as jnp
import numpy as np
import pytest
import weight_files
from weight_files import Call, Global, Persistent, Strided, pickled

from scoresde_jax.interop import torchfile

WRITERS = {"zip": weight_files.write_zip, "legacy": weight_files.write_legacy}


@pytest.fixture(params=WRITERS)
def write(request):
    return WRITERS[request.param]


def arrays(value):
    """The content with its tensors as arrays."""
    match value:
        case torchfile.Tensor():
            return value.array()
        case dict():
            return {k: arrays(v) for k, v in value.items()}
        case list():
            return [arrays(v) for v in value]
    return value


@pytest.mark.parametrize("dtype", ["<f4", "<f8", "<f2", "<i8", jnp.bfloat16])
def test_round_trip(tmp_path, write, dtype):
    tensor = np.arange(24).reshape(2, 3, 4).astype(dtype)
    scalar = np.asarray(5, dtype)
    path = write(tmp_path / "x", {"a": [tensor, scalar], "b": {"step": 3, 0: None}})
    content = arrays(torchfile.load(path))
    assert content["b"] == {"step": 3, 0: None}
    for found, wanted in zip(content["a"], (tensor, scalar), strict=True):
        assert found.dtype == wanted.dtype
        np.testing.assert_array_equal(found, wanted)


VIEWS = {
    "transposed": (0, (3, 4), (1, 3)),
    "a column": (1, (4,), (3,)),
    "one element": (11, (1, 1), (999, 5)),  # torch does not care about such strides
    "backwards in order": (2, (2, 2), (1, 6)),
}


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
def test_views(tmp_path, write, view):
    storage = np.arange(12, dtype=np.float32)
    offset, shape, stride = view
    found = torchfile.load(write(tmp_path / "x", {"t": Strided(storage, *view)}))["t"].array()
    assert found.shape == shape
    for index in np.ndindex(*shape):
        assert found[index] == offset + np.dot(index, stride)
    assert not found.flags.writeable


BEYOND = {
    "too far": (4, (3, 3), (3, 1)),
    "one too far": (10, (3,), (1,)),
    "long strides": (0, (2, 2), (12, 1)),
    "repeated": (0, (13,), (0,)),
    "repeated at length": (0, (2**39,), (0,)),
    "huge": (0, (2**60, 2**60), (1, 1)),
    "negative offset": (-1, (2,), (1,)),
    "negative size": (0, (-2,), (1,)),
    "negative stride": (11, (2,), (-1,)),
    "nothing": (0, (0,), (1,)),
    "strides for another shape": (0, (2, 3), (1,)),
    "text for a shape": (0, "ab", "cd"),
    "true for a size": (0, (True,), (1,)),
    "many dimensions": (0, (1,) * 40, (1,) * 40),
}


@pytest.mark.parametrize("view", BEYOND.values(), ids=BEYOND)
def test_what_lies_beyond_its_storage_is_refused(tmp_path, write, view):
    storage = np.arange(12, dtype=np.float32)
    path = write(tmp_path / "x", {"t": Strided(storage, *view)})
    with pytest.raises(ValueError, match="as a pickle it is truncated or damaged"):
        torchfile.load(path)


def storage_id(**changes):
    entry = {"kind": "storage", "type": Global("torch", "FloatStorage"), "key": "0"}
    entry |= {"location": "cpu", "count": 2} | changes
    return tuple(entry.values())


IDS = {
    "of another kind": storage_id(kind="module"),
    "of no type": storage_id(type=None),
    "of a type that is a function": storage_id(type=Global("collections", "OrderedDict")),
    "of a negative count": storage_id(count=-1),
    "of an endless count": storage_id(count=2**70),
    "with a number for a key": storage_id(key=0),
    "with a view of another": (*storage_id(), ("1", 0, 1)),
    "short": storage_id()[:3],
    "text": "os.system",
}


@pytest.mark.parametrize("name", IDS.values(), ids=IDS)
def test_persistent_ids_are_storages(tmp_path, name):
    entries = {"data.pkl": pickled(Persistent(name)), "data/0": b"12345678"}
    path = weight_files.write_entries(tmp_path / "x", entries)
    with pytest.raises(ValueError, match="persistent id that is no storage|a storage of"):
        torchfile.load(path)


def test_a_storage_of_two_sizes(tmp_path):
    content = pickled([Persistent(storage_id()), Persistent(storage_id(count=1))])
    path = weight_files.write_entries(tmp_path / "x", {"data.pkl": content, "data/0": b"12345678"})
    with pytest.raises(ValueError, match="a storage of two sizes"):
        torchfile.load(path)


def test_a_learning_rate_that_is_a_numpy_scalar(tmp_path):
    """The port multiplies it with np.minimum; nothing here needs its value."""
    dtype = Call(Global("numpy", "dtype"), ("f8", False, True))
    encoded = Call(Global("_codecs", "encode"), ("abcdefgh", "latin1"))
    for module in ("numpy.core.multiarray", "numpy._core.multiarray"):
        rate = Call(Global(module, "scalar"), (dtype, encoded))
        path = weight_files.write_zip(tmp_path / "x", {"lr": rate, "step": 1})
        assert torchfile.load(path)["step"] == 1


@pytest.mark.parametrize(
    "module", ["torch", "torch.nn", "numpy", "builtins", "torch.serialization"]
)
def test_other_globals_are_refused(tmp_path, write, module):
    path = write(tmp_path / "x", {"x": Call(Global(module, "load"), ("y",))})
    with pytest.raises(ValueError, match=f"asks for '{module}.load'"):
        torchfile.load(path)


# ------------------------------------------------------------------------------------- zip files


def entries_of(value):
    """The entries of a file that torch.save would write of a value."""
    buffer = io.BytesIO()
    weight_files.write_zip(buffer, value)
    with zipfile.ZipFile(buffer) as archive:
        names = archive.namelist()
        return {name.removeprefix("archive/"): archive.read(name) for name in names}


SIMPLE = {"t": np.arange(6, dtype=np.float32)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"data/0": b"1234"}, "a storage of 6 float32 is 4 bytes long"),
        ({"data/0": b"1" * 400}, "a storage of 6 float32 is 400 bytes long"),
        ({"data/0": None}, "no item named 'archive/data/0'"),
        ({"data.pkl": None}, "not one that torch.save wrote"),
        ({"more/data.pkl": b""}, "not one that torch.save wrote"),
        ({"byteorder": b"big"}, "big-endian"),
        ({"data.pkl": b"N" * (2 << 20) + b"."}, "longer than 2 MiB"),
    ],
)
def test_a_zip_file_that_is_not_whole(tmp_path, change, message):
    entries = {k: v for k, v in (entries_of(SIMPLE) | change).items() if v is not None}
    path = weight_files.write_entries(tmp_path / "x", entries)
    with pytest.raises(ValueError, match=message):
        torchfile.load(path)


def test_files_without_a_byte_order_are_little_endian(tmp_path):
    entries = entries_of(SIMPLE)
    del entries["byteorder"]  # as in 2021
    path = weight_files.write_entries(tmp_path / "x", entries)
    np.testing.assert_array_equal(torchfile.load(path)["t"].array(), SIMPLE["t"])


def test_compressed_entries_are_refused(tmp_path):
    entries = entries_of({"t": np.zeros(10**6, np.float32)})
    path = weight_files.write_entries(tmp_path / "x", entries, zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 10**5
    with pytest.raises(ValueError, match="compressed"):
        torchfile.load(path)


def test_entries_that_overlap_are_refused(tmp_path):
    """Many names for the same bytes make a small file claim a large one."""
    path = weight_files.write_zip(tmp_path / "x", {"t": np.zeros(3000, np.float32)})
    with zipfile.ZipFile(path, "a") as archive:
        one = archive.getinfo("archive/data/0")
        for i in range(100):
            copy = zipfile.ZipInfo(f"archive/data/{i + 1}")
            for field in ("CRC", "compress_size", "file_size", "header_offset"):
                setattr(copy, field, getattr(one, field))
            archive.filelist.append(copy)
        archive._didModify = True
    with pytest.raises(ValueError, match="claim more bytes than the file has"):
        torchfile.load(path)


def test_a_password_is_not_asked_for(tmp_path):
    path = weight_files.write_zip(tmp_path / "x", SIMPLE)
    content = bytearray(path.read_bytes())
    for signature, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = content.find(signature)
        while at >= 0:
            content[at + place] |= 1
            at = content.find(signature, at + 1)
    path.write_bytes(content)
    with pytest.raises(ValueError, match="truncated or damaged"):
        torchfile.load(path)


@pytest.mark.parametrize("count", [50])
def test_a_flipped_bit_of_a_zip_file_never_changes_a_number(tmp_path, count):
    content = weight_files.torch_file("ddpmpp_vp").read_bytes()
    wanted = arrays(torchfile.load(weight_files.torch_file("ddpmpp_vp")))["model"]
    path, rng = tmp_path / "x", np.random.default_rng(0)
    refused = 0
    for _ in range(count):
        damaged = bytearray(content)
        damaged[rng.integers(0, len(content))] ^= 1 << rng.integers(0, 8)
        path.write_bytes(damaged)
        try:
            found = arrays(torchfile.load(path))["model"]
        except ValueError:
            refused += 1
            continue
        for name, array in wanted.items():
            np.testing.assert_array_equal(found[name], array)
    assert refused > count / 2


@pytest.mark.parametrize("whole", [weight_files.write_zip, weight_files.write_legacy])
def test_truncated_anywhere(tmp_path, whole):
    path = whole(tmp_path / "x", {"model": SIMPLE, "list": [np.ones(4, np.float32)]})
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(ValueError):
            torchfile.load(path)


# ------------------------------------------------------------------------------------- legacy files


def legacy_parts(**changes):
    """The pickles of a legacy file, one after the other, and its storages."""
    storage = Persistent((*storage_id(), None))
    tensor = Call(Global("torch._utils", "_rebuild_tensor_v2"), (storage, 0, (2,), (1,)))
    parts = {
        "magic": 0x1950A86A20F9469CFC6C,
        "protocol": 1001,
        "machine": {"little_endian": True},
        "content": {"t": tensor},
        "keys": ["0"],
    } | changes
    return b"".join(pickled(part) for part in parts.values())


STORED = (2).to_bytes(8, "little") + np.ones(2, np.float32).tobytes()


def test_the_legacy_parts_are_whole(tmp_path):
    (tmp_path / "x").write_bytes(legacy_parts() + STORED)
    np.testing.assert_array_equal(torchfile.load(tmp_path / "x")["t"].array(), [1, 1])


@pytest.mark.parametrize(
    ("parts", "stored", "message"),
    [
        ({"magic": 7}, STORED, "not one that torch.save wrote"),
        ({"protocol": 1000}, STORED, "not one that torch.save wrote"),
        ({"machine": {"little_endian": False}}, STORED, "big-endian"),
        ({"machine": []}, STORED, "big-endian"),
        ({"keys": []}, STORED, "not that of its tensors"),
        ({"keys": ["0", "1"]}, STORED, "not that of its tensors"),
        ({"keys": ["0", "0"]}, STORED, "not that of its tensors"),
        ({"keys": [[["0"]]]}, STORED, "not that of its tensors"),
        ({"keys": 7}, STORED, "not that of its tensors"),
        ({}, STORED[:-1], "truncated"),
        ({}, (3).to_bytes(8, "little") + STORED[8:], "truncated"),
        ({}, (2**62).to_bytes(8, "little") + STORED[8:], "truncated"),
        ({}, b"", "truncated"),
        ({"machine": Persistent("x")}, STORED, "a storage where none should be"),
        ({"machine": Call(Global("os", "system"), ("x",))}, STORED, "asks for 'os.system'"),
        ({"keys": Call(Global("torch", "Size"), ((1,),))}, STORED, "asks for 'torch.Size'"),
    ],
)
def test_a_legacy_file_that_is_not_whole(tmp_path, parts, stored, message):
    (tmp_path / "x").write_bytes(legacy_parts(**parts) + stored)
    with pytest.raises(ValueError, match=message):
        torchfile.load(tmp_path / "x")
