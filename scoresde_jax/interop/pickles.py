"""Reads pickles as data: a small interpreter of the opcodes that build data, and no others.

A pickle is a program for a stack machine. Python's own machine imports whatever the program names
and calls it; this one has a table of names, each with a stand-in of ours, looks nothing up anywhere
else, and refuses the opcodes that a checkpoint has no use for. So there is nothing that a file
could run.

Opcodes are decoded by `pickletools`, which reads and checks their arguments and executes nothing.
"""

import pickletools
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO, NamedTuple

from scoresde_jax.interop.weights import named

MAX_ARGUMENTS = 8  # of a call; a tensor has seven

MARK = object()


class Named(NamedTuple):
    """A global on the stack: a name, and our stand-in for what it is a name of."""

    name: str
    meaning: Any  # a function, which may be called on data; or anything else, which may not


def load(stream: BinaryIO, known: Mapping[str, Any], persistent: Callable[[Any], Any]) -> Any:
    """Reads one pickle, and leaves the stream behind it.

    Args:
      known: "module.name" -> stand-in.
      persistent: what a persistent id stands for.

    Raises:
      ValueError: it is damaged, names what is not known, or has an opcode that is not for data.
    """
    machine = _Machine(known, persistent)
    try:
        for opcode, argument, _ in pickletools.genops(stream):
            if opcode.name == "STOP":
                return machine.pop()
            machine.run(opcode.name, argument)
    except Refused:
        raise
    except (ValueError, IndexError, KeyError, TypeError, OverflowError) as error:
        raise ValueError(f"as a pickle it is truncated or damaged ({error}).") from error
    raise AssertionError("genops ends with STOP or raises")


class Refused(ValueError):
    """The pickle is in order, but asks for what data have no use for."""


class _Machine:
    """The stack and the memo of a pickle, and what each opcode does to them."""

    def __init__(self, known: Mapping[str, Any], persistent: Callable[[Any], Any]):
        self.known, self.persistent = known, persistent
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self, opcode: str, argument: Any) -> None:
        """Executes one opcode."""
        if opcode in LITERALS:
            self.stack.append(argument)
        elif opcode in EMPTY:
            self.stack.append(EMPTY[opcode]())
        elif opcode in ACTIONS:
            ACTIONS[opcode](self, argument)
        else:
            of = f" of {named(_dotted(argument))}" if opcode == "INST" else ""
            raise Refused(
                f"its pickle uses the opcode {opcode}{of}, which a checkpoint has no use for and "
                "which may run code; nothing was run."
            )

    def pop(self) -> Any:
        """The top of the stack, off it."""
        if self.stack[-1] is MARK:
            raise ValueError("a mark where a value should be")
        return self.stack.pop()

    def top(self, kind: type) -> Any:
        """The top of the stack, which stays there, if it is of this kind."""
        if not isinstance(self.stack[-1], kind):
            raise ValueError(f"something else where a {kind.__name__} should be")
        return self.stack[-1]

    def pop_to_mark(self) -> list[Any]:
        """What was pushed since the last mark, off the stack with it."""
        for first in range(len(self.stack) - 1, -1, -1):
            if self.stack[first] is MARK:
                values = self.stack[first + 1 :]
                del self.stack[first:]
                return values
        raise ValueError("no mark")

    def pop_many(self, count: int) -> tuple[Any, ...]:
        """The `count` topmost values, off the stack."""
        return tuple(reversed([self.pop() for _ in range(count)]))

    def find(self, name: str) -> None:
        """Pushes a global, if it is in the table."""
        if name not in self.known:
            raise Refused(
                f"its pickle asks for {named(name)}, which is not among the plain data of a "
                "checkpoint; nothing was run."
            )
        self.stack.append(Named(name, self.known[name]))

    def call(self) -> None:
        """Replaces a global and its arguments by what our stand-in makes of them."""
        function, arguments = self.pop_many(2)
        if not isinstance(function, Named) or not callable(function.meaning):
            raise ValueError("a call of what is no function")
        if not isinstance(arguments, tuple) or len(arguments) > MAX_ARGUMENTS:
            raise ValueError("a call without arguments, or with too many")
        self.stack.append(function.meaning(*arguments))

    def remember(self, place: int) -> None:
        """Puts the top of the stack into the memo, a dict: a large place costs nothing."""
        self.memo[place] = self.stack[-1]

    def extend(self, values: list[Any]) -> None:
        """Adds values to the list on top."""
        self.top(list).extend(values)

    def set_items(self, items: list[Any]) -> None:
        """Puts key, value, key, value, ... into the dict on top."""
        target = self.top(dict)
        keys, values = items[::2], items[1::2]
        # Nothing else is a key in a checkpoint, and hashing deep tuples overflows C's own stack.
        if not all(type(key) in (str, int) for key in keys):
            raise ValueError("a key that is neither text nor a number")
        target.update(zip(keys, values, strict=True))


def _dotted(argument: str) -> str:
    """pickletools gives module and name with a space between."""
    return argument.replace(" ", ".")


EMPTY = {
    "EMPTY_DICT": dict,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "MARK": lambda: MARK,
}
LITERALS = frozenset(
    "BININT BININT1 BININT2 LONG1 LONG4 BINFLOAT BINUNICODE SHORT_BINUNICODE BINBYTES "
    "SHORT_BINBYTES".split()
)
# opcode -> what it does, given the machine and its argument
ACTIONS: dict[str, Callable[[_Machine, Any], object]] = {
    "PROTO": lambda m, version: None,
    "FRAME": lambda m, size: None,
    "BINPUT": lambda m, place: m.remember(place),
    "LONG_BINPUT": lambda m, place: m.remember(place),
    "MEMOIZE": lambda m, _: m.remember(len(m.memo)),
    "BINGET": lambda m, place: m.stack.append(m.memo[place]),
    "LONG_BINGET": lambda m, place: m.stack.append(m.memo[place]),
    "TUPLE": lambda m, _: m.stack.append(tuple(m.pop_to_mark())),
    "TUPLE1": lambda m, _: m.stack.append(m.pop_many(1)),
    "TUPLE2": lambda m, _: m.stack.append(m.pop_many(2)),
    "TUPLE3": lambda m, _: m.stack.append(m.pop_many(3)),
    "APPEND": lambda m, _: m.extend([m.pop()]),
    "APPENDS": lambda m, _: m.extend(m.pop_to_mark()),
    "SETITEM": lambda m, _: m.set_items([*m.pop_many(2)]),
    "SETITEMS": lambda m, _: m.set_items(m.pop_to_mark()),
    "GLOBAL": lambda m, argument: m.find(_dotted(argument)),
    "STACK_GLOBAL": lambda m, _: m.find(".".join(m.pop_many(2))),
    "REDUCE": lambda m, _: m.call(),
    "BUILD": lambda m, _: m.pop(),  # attributes, of which our stand-ins have none
    "BINPERSID": lambda m, _: m.stack.append(m.persistent(m.pop())),
}
