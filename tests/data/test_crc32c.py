import numpy as np
import pytest
from tensorboardX.crc32c import crc32c as reference

from scoresde_jax.data.crc32c import BLOCK, MANY, crc32c, masked


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", 0),
        (b"123456789", 0xE3069283),  # the catalogue's check value of CRC-32C
        # RFC 3720, appendix B.4.
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(range(31, -1, -1)), 0x113FDB5C),
    ],
)
def test_published_values(data, expected):
    assert crc32c(data) == expected


@pytest.mark.parametrize("size", [1, BLOCK - 1, BLOCK, BLOCK + 1, 5 * BLOCK + 3, 50_000])
def test_agrees_with_another_implementation(size):
    data = np.random.default_rng(size).bytes(size)
    assert crc32c(data) == crc32c(memoryview(data)) == reference(data)


def test_many_blocks_are_as_one_after_the_other():
    """More than are looked up at a time."""
    data = np.random.default_rng(0).bytes((MANY + 3) * BLOCK + 7)
    assert crc32c(data) == reference(data)


def test_one_bit_changes_it():
    data = bytearray(np.random.default_rng(1).bytes(3 * BLOCK + 5))
    before = crc32c(bytes(data))
    for place in (0, 4, 5, BLOCK + 5, len(data) - 1):
        data[place] ^= 1
        assert crc32c(bytes(data)) != before
        data[place] ^= 1


def test_masked():
    """Rotated right by 15 bits, plus a constant, modulo 2^32."""
    crc = 0x12345678
    rotated = int(f"{crc:032b}"[-15:] + f"{crc:032b}"[:-15], 2)
    assert masked(crc) == (rotated + 0xA282EAD8) % 2**32
