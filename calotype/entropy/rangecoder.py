"""Context-adaptive binary range coder, for flags, maps and network weights.

Source: Martin, "Range encoding" (1979), in the carry-propagating form of LZMA; the probability of a context is the
mean of a fast and a slow estimate, as in VVC (H.266, 9.3.4.3.2). Different: 40-bit registers with 16-bit
probabilities, first steps that adapt faster, and an ending that costs as few bytes as it can. docs/ENTROPY.md
specifies it to the bit.
"""

from __future__ import annotations

import importlib
from functools import cache
from types import ModuleType

import numpy as np

from calotype.errors import CorruptStreamError, UsageError

MAX_CONTEXTS = 1 << 16
# Contexts that one integer model takes: 31 for the exponent in unary, 1 spare, 32 for the bit below the leading one.
INTEGER_CONTEXTS = 64
MAX_INTEGER = 2**32 - 2
_REGISTER_BYTES = 5
_FULL_RANGE = 1 << 40


class RangeWriter:
    """What every range encoder has: the models of its contexts, the coder's registers, and what is written so far."""

    def __init__(self, n_contexts: int) -> None:
        """n_contexts: 0..65536 adaptive probabilities, all 1/2 at first. Raises UsageError for another number."""
        self._models = _new_models(n_contexts)
        self._coder = np.array([0, _FULL_RANGE, 0], dtype=np.int64)
        self._buffer = np.zeros(256, dtype=np.uint8)
        self._finished = False

    def finish(self) -> bytes:
        """The stream: what was written, and the fewest bytes that end inside the final range. Raises UsageError at a
        second call.
        """
        self._check_open()
        self._finished = True
        low, width, size = (int(value) for value in self._coder)
        tail, kept = low, _REGISTER_BYTES
        for count in range(_REGISTER_BYTES):
            unit = 1 << 8 * (_REGISTER_BYTES - count)
            value = -(-low // unit) * unit
            if value < low + width:
                tail, kept = value, count
                break
        carry, tail = tail >> 40, tail & (_FULL_RANGE - 1)
        head = int.from_bytes(self._buffer[:size].tobytes(), "big") + carry
        return head.to_bytes(size, "big") + tail.to_bytes(_REGISTER_BYTES, "big")[:kept]

    def _reserve(self, size: int) -> None:
        self._check_open()
        needed = int(self._coder[2]) + size + 8
        if needed > len(self._buffer):
            grown = np.zeros(max(needed, 2 * len(self._buffer)), dtype=np.uint8)
            grown[: len(self._buffer)] = self._buffer
            self._buffer = grown

    def _check_open(self) -> None:
        if self._finished:
            raise UsageError("this encoder is finished: make a new BinaryEncoder for the next stream")


class BinaryEncoder(RangeWriter):
    """Codes bits in the order of the calls; `finish` returns the bytes."""

    def encode(self, bits: np.ndarray, contexts: np.ndarray) -> None:
        """Code bits, int or bool (n,) of 0 and 1, each in its context, int (n,) in 0..n_contexts-1. Raises
        UsageError for others.
        """
        bits = np.asarray(bits)
        if (
            bits.ndim != 1
            or bits.dtype.kind not in "biu"
            or (bits.size and (int(bits.min()) < 0 or int(bits.max()) > 1))
        ):
            raise UsageError("bits must be a 1-D array of 0 and 1")
        own = _contexts(contexts, len(self._models), 1)
        _same_length(bits, own)
        self._reserve(2 * len(bits))
        _kernels().put_bits(self._coder, self._buffer, self._models, np.ascontiguousarray(bits, dtype=np.uint8), own)

    def encode_integers(self, values: np.ndarray, bases: np.ndarray) -> None:
        """Code integers, (n,) in 0..2**32-2, as Exp-Golomb bits with contexts: values[i] takes the 64 contexts from
        bases[i] on.

        Raises UsageError for a value outside that range or a base without 64 contexts behind it.
        """
        values = np.asarray(values)
        if values.ndim != 1 or values.dtype.kind not in "iu":
            raise UsageError("values must be a 1-D integer array")
        if values.size and (int(values.min()) < 0 or int(values.max()) > MAX_INTEGER):
            raise UsageError(f"a value lies outside 0..{MAX_INTEGER}")
        own = _contexts(bases, len(self._models), INTEGER_CONTEXTS)
        _same_length(values, own)
        self._reserve(2 * INTEGER_CONTEXTS * len(values))
        _kernels().put_integers(
            self._coder, self._buffer, self._models, np.ascontiguousarray(values, dtype=np.uint32), own
        )


class RangeReader:
    """What every range decoder has. After an error its state means nothing."""

    def __init__(self, data: bytes, n_contexts: int) -> None:
        """data: a whole stream; n_contexts as the encoder's. Raises UsageError for an impossible number."""
        self._models = _new_models(n_contexts)
        self._data = np.frombuffer(bytes(data), dtype=np.uint8).copy()
        code = int.from_bytes(bytes(data[:_REGISTER_BYTES]).ljust(_REGISTER_BYTES, b"\0"), "big")
        self._coder = np.array([code, _FULL_RANGE, _REGISTER_BYTES], dtype=np.int64)

    def finish(self) -> None:
        """Raises CorruptStreamError unless the stream ends where its last bit does."""
        self._check_end()
        unread = len(self._data) - int(self._coder[2])
        if unread > 0 or (-unread < _REGISTER_BYTES and self._data[-1] == 0):
            raise CorruptStreamError(
                "bytes are left behind the last bit of a range-coded stream: the bytes are damaged"
            )

    def _check_end(self) -> None:
        if int(self._coder[2]) - len(self._data) > _REGISTER_BYTES:
            raise CorruptStreamError("a range-coded stream ends before its last bit: the bytes are cut off or damaged")


class BinaryDecoder(RangeReader):
    """Gives back what the encoder was given, call by call. After an error the decoder's state means nothing."""

    def decode(self, contexts: np.ndarray) -> np.ndarray:
        """One bit for each context: uint8 (n,). Raises CorruptStreamError where the stream ends early, UsageError
        for a bad context.
        """
        own = _contexts(contexts, len(self._models), 1)
        bits = np.empty(len(own), dtype=np.uint8)
        _kernels().get_bits(self._coder, self._data, self._models, own, bits)
        self._check_end()
        return bits

    def decode_integers(self, bases: np.ndarray) -> np.ndarray:
        """One integer for each base: uint32 (n,). Raises as `decode`."""
        own = _contexts(bases, len(self._models), INTEGER_CONTEXTS)
        values = np.empty(len(own), dtype=np.uint32)
        _kernels().get_integers(self._coder, self._data, self._models, own, values)
        self._check_end()
        return values


def _new_models(n_contexts: int) -> np.ndarray:
    if not 0 <= n_contexts <= MAX_CONTEXTS:
        raise UsageError(f"{n_contexts} contexts: 0..{MAX_CONTEXTS} are possible")
    models = np.zeros((n_contexts, 3), dtype=np.uint16)
    models[:, :2] = 1 << 15
    return models


def _contexts(contexts: np.ndarray, count: int, span: int) -> np.ndarray:
    """`contexts` as uint16 (n,), each with `span` contexts from it on. Raises UsageError otherwise."""
    array = np.asarray(contexts)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise UsageError("contexts must be a 1-D integer array")
    if array.size and (int(array.min()) < 0 or int(array.max()) + span > count):
        raise UsageError(
            f"contexts run from {int(array.min())} to {int(array.max())} but the coder has {count}, {span} for each"
        )
    return np.ascontiguousarray(array, dtype=np.uint16)


def _same_length(values: np.ndarray, contexts: np.ndarray) -> None:
    if len(values) != len(contexts):
        raise UsageError(f"{len(values)} values and {len(contexts)} contexts: give one context per value")


@cache
def _kernels() -> ModuleType:
    """The compiled loops; numba is imported here, at the first use."""
    return importlib.import_module("calotype.entropy.rangecoder_kernels")
