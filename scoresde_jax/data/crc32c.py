"""CRC-32C (Castagnoli), with which TFRecord files guard lengths and data; in numpy.

The checksum is linear in the message, so blocks of 1024 bytes are summed at once from a table of
what each byte at each place contributes, and joined one after the other: a few hundred MB/s.
Reflected polynomial 0x82f63b78, RFC 3720 section 12.1.
"""

from functools import lru_cache

import numpy as np

POLYNOMIAL = 0x82F63B78
BLOCK = 1024
MANY = 2**8  # blocks looked up at a time, to bound memory
ONES = 0xFFFFFFFF


def crc32c(data: bytes | memoryview) -> int:
    """Returns the checksum of data, 0 to 2^32 - 1."""
    one = _byte_table_list()
    head = len(data) % BLOCK
    state = ONES
    for byte in bytes(data[:head]):
        state = one[(state ^ byte) & 255] ^ state >> 8
    blocks = np.frombuffer(data, np.uint8, offset=head).reshape(-1, BLOCK)
    table, shifts = _block_table(), _block_shift()
    place = 256 * np.arange(BLOCK)
    for first in range(0, len(blocks), MANY):
        sums = table.take(blocks[first : first + MANY] + place)
        for block in np.bitwise_xor.reduce(sums, axis=1).tolist():
            a, b, c, d = (shifts[i][state >> 8 * i & 255] for i in range(4))
            state = a ^ b ^ c ^ d ^ block
    return state ^ ONES


def masked(crc: int) -> int:
    """The form in which TFRecord files store a checksum: rotated by 15 bits, plus a constant."""
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & ONES


@lru_cache(maxsize=1)
def _byte_table() -> np.ndarray:
    """What each byte adds to the state; (256,) uint32."""
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, table >> 1 ^ np.uint32(POLYNOMIAL), table >> 1)
    return table


@lru_cache(maxsize=1)
def _byte_table_list() -> list[int]:
    return _byte_table().tolist()


def _after_zero(state: np.ndarray) -> np.ndarray:
    """The states after one more byte, zero."""
    return _byte_table()[state & 255] ^ state >> 8


@lru_cache(maxsize=1)
def _block_table() -> np.ndarray:
    """What each byte at each place of a block adds to the state at its end; (BLOCK * 256,)."""
    rows = [_byte_table()]
    for _ in range(BLOCK - 1):
        rows.append(_after_zero(rows[-1]))
    return np.concatenate(rows[::-1])


@lru_cache(maxsize=1)
def _block_shift() -> list[list[int]]:
    """What each of the four bytes of a state becomes after a block of zeros; 4 of 256."""
    states = np.arange(256, dtype=np.uint32) << np.arange(0, 32, 8, dtype=np.uint32)[:, None]
    for _ in range(BLOCK):
        states = _after_zero(states)
    return states.tolist()
