"""Pickles build data, and run nothing, whatever they ask for."""

import io
import os
import pathlib
import pickle
import time

import pytest
from weight_files import Call, Global, Persistent, pickled

from scoresde_jax.interop import pickles

KNOWN = {"collections.OrderedDict": dict, "a.number": 7, "a.pair": lambda a, b: (a, b)}


def load(content):
    return pickles.load(io.BytesIO(content), KNOWN, lambda name: ("persistent", name))


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize(
    "value",
    [
        {"a": [1, -2, 300, 70_000, 2**31, 2**80, -(2**80)], 5: (None, True, False)},
        [(), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4), {}, [], "é" * 300, 1.5, [[]]],
        {"x": list(range(2000)), "y": {i: str(i) for i in range(2000)}},
    ],
)
def test_data_are_what_pickle_reads(value, protocol):
    assert load(pickle.dumps(value, protocol)) == value


def test_bytes():
    """Protocol 2 has none, and calls _codecs.encode."""
    assert load(pickle.dumps([b"abc", b"x" * 300], 3)) == [b"abc", b"x" * 300]


def test_what_is_shared_stays_shared():
    part = [1]
    first, second = load(pickle.dumps([part, part], 2))
    assert first is second == [1]


def test_globals_calls_and_persistent_ids():
    pair = Call(Global("a", "pair"), (1, Persistent("key")))
    assert load(pickled([pair, Call(Global("collections", "OrderedDict"), ())])) == [
        (1, ("persistent", "key")),
        {},
    ]


def test_attributes_are_dropped():
    """PyTorch gives an OrderedDict the attribute _metadata; setting one could run code."""
    assert load(b"\x80\x02}}X\x05\x00\x00\x00items" + b"K\x01sb.") == {}


def test_the_stream_is_left_behind_the_pickle():
    stream = io.BytesIO(pickled([1]) + pickled("two") + b"rest")
    assert pickles.load(stream, {}, str) == [1]
    assert pickles.load(stream, {}, str) == "two"
    assert stream.read() == b"rest"


class Reduced:
    """Pickled as a call of any function."""

    def __init__(self, function, *arguments):
        self.reduced = function, arguments

    def __reduce__(self):
        return self.reduced


def text(value):
    return b"X" + len(value).to_bytes(4, "little") + value.encode()


# How a pickle may run a command, and the name that the refusal must tell. {} is the command.
SYSTEM = f"{os.name}.system"  # os.system says that it is posix.system
ATTACKS = {
    "REDUCE": (lambda c: b"\x80\x02cos\nsystem\n(" + text(c) + b"tR.", "'os.system'"),
    "protocol 0": (lambda c: f"cos\nsystem\n(V{c}\ntR.".encode(), "'os.system'"),
    "protocol 2": (lambda c: pickle.dumps(Reduced(os.system, c), 2), SYSTEM),
    "protocol 4": (lambda c: pickle.dumps(Reduced(os.system, c), 4), SYSTEM),
    "eval": (lambda c: pickle.dumps(Reduced(eval, f"__import__('os').system({c!r})"), 3), "eval"),
    "exec": (lambda c: pickle.dumps(Reduced(exec, f"import os; os.system({c!r})"), 4), "exec"),
    "INST": (lambda c: b"\x80\x02(" + text(c) + b"ios\nsystem\n.", "'os.system'"),
    "OBJ": (lambda c: b"\x80\x02(cos\nsystem\n" + text(c) + b"o.", "'os.system'"),
    "NEWOBJ": (lambda c: b"\x80\x02cos\nsystem\n(" + text(c) + b"t\x81.", "'os.system'"),
    "NEWOBJ_EX": (lambda c: b"\x80\x04cos\nsystem\n(" + text(c) + b"t}\x92.", "'os.system'"),
    "STACK_GLOBAL": (
        lambda c: b"\x80\x04" + text("os") + text("system") + b"\x93(" + text(c) + b"tR.",
        "'os.system'",
    ),
    "EXT1": (lambda c: b"\x80\x02\x82\x01(" + text(c) + b"tR.", "opcode EXT1"),
    "EXT2": (lambda c: b"\x80\x02\x83\x01\x00(" + text(c) + b"tR.", "opcode EXT2"),
    "EXT4": (lambda c: b"\x80\x02\x84\x01\x00\x00\x00(" + text(c) + b"tR.", "opcode EXT4"),
    "PERSID": (lambda c: b"\x80\x02Pos.system\n.", "opcode PERSID"),
    "OBJ of what is known": (
        lambda c: b"\x80\x02(ccollections\nOrderedDict\no.",
        "opcode OBJ",
    ),
    "INST of what is known": (
        lambda c: b"\x80\x02(icollections\nOrderedDict\n.",
        "opcode INST of 'collections.OrderedDict'",
    ),
    "NEWOBJ of what is known": (
        lambda c: b"\x80\x02ccollections\nOrderedDict\n)\x81.",
        "opcode NEWOBJ",
    ),
    "an attribute of what is known": (
        lambda c: b"\x80\x04" + text("collections") + text("OrderedDict.__init__") + b"\x93.",
        "'collections.OrderedDict.__init__'",
    ),
    "getattr": (lambda c: b"\x80\x02cbuiltins\ngetattr\n(tR.", "'builtins.getattr'"),
    "a file": (lambda c: pickle.dumps(pathlib.PurePosixPath(c), 2), "pathlib"),
}


@pytest.mark.parametrize(("attack", "name"), ATTACKS.values(), ids=ATTACKS)
def test_nothing_is_run_and_the_name_is_told(tmp_path, attack, name):
    canary = tmp_path / "canary"
    with pytest.raises(ValueError) as caught:
        load(attack(f"touch {canary}"))
    assert name in str(caught.value) and "nothing was run" in str(caught.value)
    assert not canary.exists()


def test_the_attacks_are_real(tmp_path):
    """Python's own unpickler runs them, so the test above tests something."""
    canary = tmp_path / "canary"
    for name in ("REDUCE", "protocol 0", "protocol 4", "eval", "INST", "OBJ", "STACK_GLOBAL"):
        pickle.loads(ATTACKS[name][0](f"touch {canary}"))
        assert canary.exists(), name
        canary.unlink()


MALFORMED = {
    "empty": b"",
    "no end": b"\x80\x02N",
    "an unknown opcode": b"\x80\x02\xff.",
    "nothing to give": b"\x80\x02.",
    "a mark at the end": b"\x80\x02(.",
    "no mark": b"\x80\x02t.",
    "a tuple of more than there is": b"\x80\x02N\x87.",
    "a memo that was not written": b"\x80\x02h\x05.",
    "text longer than the file": b"\x80\x02X\xff\xff\xff\xffabc.",
    "bytes longer than the file": b"\x80\x04B\xff\xff\xff\xffabc.",
    "a number longer than the file": b"\x80\x02\x8b\xff\xff\xff\x7fabc.",
    "text that is not UTF-8": b"\x80\x02X\x01\x00\x00\x00\xff.",
    "items for a list": b"\x80\x02]X\x01\x00\x00\x00aNs.",
    "appending to a dict": b"\x80\x02}Na.",
    "half an item": b"\x80\x02}(X\x01\x00\x00\x00au.",
    "a call of text": b"\x80\x02X\x01\x00\x00\x00a)R.",
    "a call of a thing": b"\x80\x02ca\nnumber\n)R.",
    "a call with a list": b"\x80\x02ca\npair\n]R.",
    "a call with too little": b"\x80\x02ca\npair\n)R.",
    "a name that is no text": b"\x80\x04NN\x93.",
    "a key that is a tuple": b"\x80\x02})Ns.",
    "a key that is a list": b"\x80\x02}]Ns.",
    "a persistent id of nothing": b"\x80\x02Q.",
}


@pytest.mark.parametrize("content", MALFORMED.values(), ids=MALFORMED)
def test_what_is_malformed_is_damaged(content):
    with pytest.raises(ValueError, match="as a pickle it is truncated or damaged"):
        load(content)


def test_a_large_memo_costs_nothing():
    """Python's own unpickler makes room for 4 billion entries."""
    began = time.monotonic()
    assert load(b"\x80\x02Nr\xff\xff\xff\xff.") is None
    assert time.monotonic() - began < 1


def test_what_is_nested_deeply_is_built_and_freed():
    value = load(b"\x80\x02N" + b"\x85" * 200_000 + b".")
    assert isinstance(value, tuple)
    with pytest.raises(ValueError):  # hashing it would overflow the stack
        load(b"\x80\x02}N" + b"\x85" * 200_000 + b"Ns.")


def test_a_name_cannot_flood_the_message():
    with pytest.raises(ValueError) as caught:
        load(b"\x80\x02c" + b"a" * 10**6 + b"\nb\n.")
    assert len(str(caught.value)) < 300
