"""Bit-planes of pictures to bytes and back, of which a network has said how probable each bit is; integers throughout.

The network's word is mixed with adaptive probabilities by the mixer of the lossless coder (pixels_kernels.py).
"""

from __future__ import annotations

import hashlib
import importlib
from functools import cache
from types import ModuleType

import numpy as np

from ..errors import CorruptStreamError
from . import pixels

BYTES_A_BIT = 4  # most that the coder writes


class _Planes:
    """What the coder has learnt of the planes, each of which is coded in whole rows from the top."""

    def __init__(self, width: int, planes: int):
        k, self._kernels = _pixels(), _kernels()
        self._rows = np.zeros((2, width + 2 * self._kernels.PAD), np.int64)
        self._counters = np.zeros((planes * k.MAPS * k.CONTEXTS, 2), np.int32)
        self._counters[:, 0] = 1 << 21
        self._mixers = np.zeros((2 * planes * self._kernels.SELECT, k.INPUTS), np.int32)
        self._mixers[:, 0] = 1 << 16
        self._mixers[:, k.EXPERTS : k.EXPERTS + k.MAPS] = 1 << 12
        self._tables = pixels.tables()[2:]
        self._plane = -1

    def _run(
        self, bits: np.ndarray, logits: np.ndarray, plane: int, coder: np.ndarray, buffer: np.ndarray, decoding: int
    ) -> None:
        if plane != self._plane:
            self._plane = plane
            self._rows[:] = self._kernels.EXPECTED
        learnt = self._rows, self._counters, self._mixers
        self._kernels.code_rows(bits, np.ascontiguousarray(logits), plane, coder, buffer, decoding, *learnt, *self._tables)


class PlaneEncoder(_Planes):
    """Codes rows of planes; `finish` returns the bytes."""

    def __init__(self, width: int, planes: int):
        """width: bits a row; planes: how many there are."""
        super().__init__(width, planes)
        self._coder = _binary().encoding()
        self._parts: list[bytes] = []

    def encode(self, bits: np.ndarray, logits: np.ndarray, plane: int) -> None:
        """Code rows of a plane: bits uint8 (h, width) of 0 and 1; logits int32 (h, width): ln(p / (1 - p)) of a 1 in 1/256,
        within +-2047. Another plane than the last call's begins at its top."""
        buffer = np.empty(bits.size * BYTES_A_BIT, np.uint8)
        self._run(bits.copy(), logits, plane, self._coder, buffer, 0)
        self._parts.append(buffer[: self._coder[2]].tobytes())
        self._coder[2] = 0

    def finish(self) -> bytes:
        """The stream."""
        return b"".join(self._parts) + _binary().ending(self._coder)


class PlaneDecoder(_Planes):
    """Gives back the rows, call by call."""

    def __init__(self, data: bytes | memoryview, width: int, planes: int):
        """As of the encoder."""
        super().__init__(width, planes)
        self._data = np.frombuffer(data, np.uint8).copy()
        self._coder = _binary().decoding(self._data)

    def decode(self, logits: np.ndarray, plane: int) -> np.ndarray:
        """Bits uint8 (h, width). Raises CorruptStreamError where the stream ends before them."""
        bits = np.zeros(logits.shape, np.uint8)
        self._run(bits, logits, plane, self._coder, self._data, 1)
        if self._coder[2] - len(self._data) > _binary().REGISTER_BYTES:
            raise CorruptStreamError("a stream of bit-planes ends before its last row: the file is damaged")
        return bits

    def finish(self) -> None:
        """Raises CorruptStreamError unless the stream ends as it must."""
        if not _binary().ended(self._coder, self._data):
            raise CorruptStreamError("a stream of bit-planes does not end with its last row: the file is damaged")


@cache
def rules_hash() -> bytes:
    """SHA-256 of that of the lossless coder's rules, and of this one's numbers, NAME=VALUE lines in order of name."""
    numbers = sorted((k, v) for k, v in vars(_kernels()).items() if k.isupper() and isinstance(v, int))
    return hashlib.sha256(pixels.rules_hash() + "".join(f"{name}={value}\n" for name, value in numbers).encode()).digest()


@cache
def _kernels() -> ModuleType:
    """The compiled loop; numba is imported here, at the first use."""
    return importlib.import_module("calotype.entropy.bitplanes_kernels")


@cache
def _pixels() -> ModuleType:
    return importlib.import_module("calotype.entropy.pixels_kernels")


@cache
def _binary() -> ModuleType:
    return importlib.import_module("calotype.entropy.binary")
