"""The tf.train.Example messages of record files, read without TensorFlow or protobuf.

    Example {Features {map<string, Feature>}},  Feature = bytes_list | float_list | int64_list

(tensorflow/core/example/example.proto and feature.proto.) Only the wire format is read: a tag of
field number and type, then a varint, 4 or 8 bytes, or a length and as many bytes.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

FIRST_BYTE = 0x0A  # field 1, with a length: how every Example with features begins
VARINT, EIGHT_BYTES, BYTES, FOUR_BYTES = 0, 1, 2, 5  # wire types


class NoExample(ValueError):
    """The bytes are no tf.train.Example."""


def features(record: bytes | memoryview) -> dict[str, memoryview]:
    """Returns the features of an Example by name, still encoded; `values` reads one.

    Raises:
      NoExample: the bytes are cut off or are something else.
    """
    found: dict[str, memoryview] = {}
    for _, group in _messages(memoryview(record), {1}):
        for _, entry in _messages(group, {1}):
            key, value = b"", memoryview(b"")
            for number, part in _messages(entry, {1, 2}):
                key, value = (part, value) if number == 1 else (key, part)
            try:
                found[bytes(key).decode()] = value
            except UnicodeDecodeError as error:
                raise NoExample("a feature's name is no UTF-8") from error
    return found


def values(feature: memoryview) -> Any:
    """Returns what a feature holds: a list of bytes-like, or an array of int64 or float32.

    What is bytes-like shares the record's memory.

    Raises:
      NoExample: the bytes are cut off or are something else.
    """
    for kind, items in _messages(feature, {1, 2, 3}):
        if kind == 1:
            return [value for _, value in _messages(items, {1})]
        if kind == 2:
            packed = b"".join(bytes(value) for _, value in _messages(items, {1}))
            if len(packed) % 4:
                raise NoExample("a list of floats is cut off")
            return np.frombuffer(packed, "<f4")
        return np.array(list(_integers(items)), np.int64)
    return []


def _integers(items: memoryview) -> Iterator[int]:
    for _, value in _fields(items, {1}):
        position = 0
        while isinstance(value, memoryview) and position < len(value):
            number, position = _varint(value, position)
            yield _signed(number)
        if isinstance(value, int):
            yield _signed(value)


def _signed(number: int) -> int:
    return number - 2**64 if number >= 2**63 else number


def _messages(data: memoryview, expected: set[int]) -> Iterator[tuple[int, memoryview]]:
    """The fields of a message that all have a length."""
    for number, value in _fields(data, expected):
        if isinstance(value, int):
            raise NoExample(f"field {number} is a number and should be a message")
        yield number, value


def _fields(data: memoryview, expected: set[int]) -> Iterator[tuple[int, Any]]:
    """Field numbers and values of a message: an int for a varint, else its bytes."""
    position = 0
    while position < len(data):
        tag, position = _varint(data, position)
        number, kind = tag >> 3, tag & 7
        if number not in expected:
            raise NoExample(f"it has a field {number}, which Examples lack")
        if kind == VARINT:
            value, position = _varint(data, position)
            yield number, value
            continue
        if kind == BYTES:
            length, position = _varint(data, position)
        elif kind in (EIGHT_BYTES, FOUR_BYTES):
            length = 8 if kind == EIGHT_BYTES else 4
        else:
            raise NoExample(f"it has a field of type {kind}")
        if position + length > len(data):
            raise NoExample("it is cut off")
        yield number, data[position : position + length]
        position += length


def _varint(data: memoryview, position: int) -> tuple[int, int]:
    """A number of 7 bits a byte, low ones first, and the position after it."""
    number = 0
    for shift in range(0, 70, 7):
        if position >= len(data):
            raise NoExample("it is cut off")
        byte = data[position]
        position += 1
        number |= (byte & 127) << shift
        if byte < 128:
            return number & (2**64 - 1), position
    raise NoExample("a number is longer than 64 bits")
