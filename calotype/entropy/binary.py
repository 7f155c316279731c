"""A binary arithmetic coder that is told each bit's probability, for kernels that model their bits (pixels_kernels.py).

Source: the carry-less coder of Mahoney, "Adaptive weighing of context models for lossless data compression" (2005, lpaq1);
different: 16-bit probabilities and an ending of the fewest bytes. An interval [low, high] of 32-bit numbers is cut at each bit
in proportion to its probability, and leading bytes that both ends share go out.

`coder` is int64 (4,): low, high, place in the buffer, and in a decoder the 32 bits of the stream at that place.
"""

from __future__ import annotations

import numpy as np

from calotype.entropy.jit import kernel

REGISTER_BYTES = 4


@kernel("int64(int64[::1], uint8[::1], int64, int64, int64)", inline=True)
def code_bit(coder, buffer, p, bit, decoding):
    """Code `bit`, whose probability to be 1 is p / 65536, p in 1..65535; returns it. Decoding, `bit` has no meaning.

    Writes at most 4 bytes. A decoder reads zeros behind the buffer's end and keeps counting.
    """
    low, high = coder[0], coder[1]
    middle = low + (((high - low) * p) >> 16)
    if decoding:
        bit = np.int64(coder[3] <= middle)
    if bit:
        high = middle
    else:
        low = middle + 1
    while (low ^ high) < (1 << 24):
        at = coder[2]
        if decoding:
            byte = np.int64(buffer[at]) if at < len(buffer) else np.int64(0)
            coder[3] = ((coder[3] << 8) & 0xFFFFFFFF) | byte
        else:
            buffer[at] = np.uint8(high >> 24)
        coder[2] = at + 1
        low = (low << 8) & 0xFFFFFFFF
        high = ((high << 8) & 0xFFFFFFFF) | 255
    coder[0], coder[1] = low, high
    return bit


def encoding() -> np.ndarray:
    """A coder that writes from the buffer's first byte on."""
    return np.array([0, 2**32 - 1, 0, 0], np.int64)


def decoding(data: np.ndarray) -> np.ndarray:
    """A coder that reads data, uint8 (n,), from its first byte on."""
    first = int.from_bytes(data[:REGISTER_BYTES].tobytes().ljust(REGISTER_BYTES, b"\0"), "big")
    return np.array([0, 2**32 - 1, REGISTER_BYTES, first], np.int64)


def ending(coder: np.ndarray) -> bytes:
    """The fewest bytes that, with zeros behind them, lie in the coder's interval."""
    low, high = int(coder[0]), int(coder[1])
    for count in range(REGISTER_BYTES):
        unit = 1 << 8 * (REGISTER_BYTES - count)
        value = -(-low // unit) * unit
        if value <= high:
            return value.to_bytes(REGISTER_BYTES + 1, "big")[1 : 1 + count]
    return low.to_bytes(REGISTER_BYTES, "big")


def ended(coder: np.ndarray, data: np.ndarray) -> bool:
    """Whether a decoder's data, uint8 (n,), end as an encoder ends them after the same bits."""
    start = int(coder[2]) - REGISTER_BYTES
    return data[start:].tobytes() == ending(coder) if start <= len(data) else False
