"""Samples of pictures to bytes and back without loss, row by row: adaptive prediction and context mixing, integers throughout.

Encoder and decoder run one kernel (pixels_kernels.py), so that their models cannot differ. The tables are made by exact integer
arithmetic, the same everywhere; `rules_hash` goes into the files, so that a reader with other rules refuses them.
"""

from __future__ import annotations

import hashlib
import importlib
from bisect import bisect_right
from functools import cache
from types import ModuleType

import numpy as np

from calotype.errors import CorruptStreamError, UsageError

DEPTHS = (8, 16)
PLANES = (1, 3)
ROW_BYTES = 256  # most bytes of one sample: fewer than 64 bits are coded for it, of at most 4 bytes each
_BITS = 80  # fractional bits of the numbers that tables are made of


class PixelEncoder:
    """Codes rows of samples from the top; `finish` returns the bytes."""

    def __init__(self, width: int, planes: int, depth: int):
        """width: samples a row, from 1; planes: 1 or 3, the first is coded first; depth: 8 or 16 bits. Raises UsageError."""
        self._state = _State(width, planes, depth)
        self._coder = _binary().encoding()
        self._buffer = np.zeros(width * planes * ROW_BYTES, np.uint8)
        self._parts: list[bytes] = []

    def encode(self, row: np.ndarray) -> None:
        """Code a row, int32 (width, planes) of samples below 2**depth. Raises UsageError for another shape or range."""
        if row.shape != self._state.shape or row.dtype != np.int32:
            raise UsageError(f"a row of {self._state.shape} int32 is needed, not {row.shape} {row.dtype}")
        if int(row.min()) < 0 or int(row.max()) >> self._state.depth:
            raise UsageError(f"a sample lies outside {self._state.depth} bits")
        self._state.run(np.ascontiguousarray(row), self._coder, self._buffer, 0)
        self._parts.append(self._buffer[: self._coder[2]].tobytes())
        self._coder[2] = 0

    def finish(self) -> bytes:
        """The stream."""
        return b"".join(self._parts) + _binary().ending(self._coder)


class PixelDecoder:
    """Gives back the rows, call by call."""

    def __init__(self, data: bytes | memoryview, width: int, planes: int, depth: int):
        """As of the encoder. Raises UsageError."""
        self._state = _State(width, planes, depth)
        self._data = np.frombuffer(data, np.uint8).copy()
        self._coder = _binary().decoding(self._data)

    def decode(self) -> np.ndarray:
        """The next row, int32 (width, planes). Raises CorruptStreamError where the stream ends before it does."""
        row = np.zeros(self._state.shape, np.int32)
        self._state.run(row, self._coder, self._data, 1)
        if self._coder[2] - len(self._data) > _binary().REGISTER_BYTES:
            raise CorruptStreamError("a stream of pixels ends before its last row: the file is damaged")
        return row

    def finish(self) -> None:
        """Raises CorruptStreamError unless the stream ends as it must."""
        if not _binary().ended(self._coder, self._data):
            raise CorruptStreamError("a stream of pixels does not end with its last row: the file is damaged")


class _State:
    """What the coder has learnt: arrays that the kernel reads and writes. Some 4 kB a column of a plane, and 9 MB."""

    def __init__(self, width: int, planes: int, depth: int):
        if width < 1 or planes not in PLANES or depth not in DEPTHS:
            raise UsageError(f"rows of {width} samples, {planes} planes, {depth} bits: give 1 or 3 planes of 8 or 16 bits")
        k = self._kernels = _kernels()
        self.shape, self.depth, self._y = (width, planes), depth, 0
        span = width + 2 * k.PAD
        counters = np.zeros((planes * k.MAPS * k.CONTEXTS * 2 * k.NODES, 2), np.int32)
        counters[:, 0] = 1 << 21
        mixers = np.zeros((6 * k.SELECT * k.NODES, k.INPUTS), np.int32)
        mixers[:, : k.EXPERTS] = 1 << 14
        mixers[:, k.EXPERTS : k.EXPERTS + k.MAPS] = 1 << 13
        self._arrays = (
            np.full((planes, 3, span), 1 << (depth - 1), np.int32),  # the last three rows
            np.zeros((planes, width, k.TAPS, k.STRIDE), np.int32),  # covariances, by column
            np.zeros((planes, k.TAPS, k.STRIDE), np.int32),  # that of the sample before
            np.zeros((planes, k.TAPS), np.int64),  # weights of the predictor
            np.full((planes, k.EXPERTS, 2, span), 256, np.int32),  # |error| of each prediction in 1/64, the last two rows
            np.zeros((planes, 2, span), np.int32),  # sample less prediction, the last two rows
            counters,
            mixers,
            np.zeros((planes, k.BIASES, 2), np.int32),
        )

    def run(self, row: np.ndarray, coder: np.ndarray, buffer: np.ndarray, decoding: int) -> None:
        self._kernels.code_row(row, self._y, self.depth, coder, buffer, decoding, *self._arrays, *tables())
        self._y += 1


@cache
def tables() -> tuple[np.ndarray, ...]:
    """softplus, hazard, squash, stretch, rates: int32 each, as docs/FORMAT.md defines them."""
    one = 1 << _BITS
    term = total = one
    k = 0
    while term:  # e^(1/4096) by its series
        k += 1
        term //= 4096 * k
        total += term
    powers = [one]  # of it
    for _ in range(4096 * 21):
        powers.append(powers[-1] * total >> _BITS)
    halves = powers[1::2]

    def ln(v: int) -> int:
        """ln(v / one) in 1/2048, rounded; below 1 by its inverse."""
        return bisect_right(halves, v) if v >= one else -bisect_right(halves, one * one // v)

    def exp(i: int) -> int:
        """e^(i / 256)."""
        return powers[16 * i] if i >= 0 else one * one // powers[-16 * i]

    softplus = [ln(one + exp(i)) for i in range(-2048, 5120)]
    hazard = [2047] + [min(2047, (4 - ln(powers[2 * d] - one)) >> 3) for d in range(1, 8192)]
    squash = [min(max(((one << 16) * one // (one + exp(-i)) + one // 2) >> _BITS, 1), 65535) for i in range(-2816, 2817)]
    stretch = [min(max((ln(one * (2 * i + 1) // (8191 - 2 * i)) + 4) >> 3, -2047), 2047) for i in range(4096)]
    rates = [min(131072 // (2 * n + 3), 65535) for n in range(256)]
    return tuple(np.array(table, np.int32) for table in (softplus, hazard, squash, stretch, rates))


@cache
def rules_hash() -> bytes:
    """SHA-256 of all that a stream depends on besides its bytes: the kernel's numbers, NAME=VALUE lines in order of name, and
    after them the tables, as little-endian int32."""
    numbers = sorted((k, v) for k, v in vars(_kernels()).items() if k.isupper() and isinstance(v, int))
    h = hashlib.sha256("".join(f"{name}={value}\n" for name, value in numbers).encode())
    for table in tables():
        h.update(table.astype("<i4").tobytes())
    return h.digest()


@cache
def _kernels() -> ModuleType:
    """The compiled loops; numba is imported here, at the first use."""
    return importlib.import_module("calotype.entropy.pixels_kernels")


@cache
def _binary() -> ModuleType:
    return importlib.import_module("calotype.entropy.binary")
