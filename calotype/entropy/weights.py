"""Context-adaptive binary coding of integer tensors: the weights of networks, exactly or chosen by rate-distortion.

Source: Wiedemann et al., "DeepCABAC: A Universal Compression Algorithm for Deep Neural Networks" (2019, arXiv 1907.11900;
ISO/IEC 15938-17): unary bins in contexts, Exp-Golomb behind them, and greedy rate-distortion quantisation under the
adaptive state. Different: the contexts are the mean magnitude so far in a value's row and column, not the last two
values; they are shared by all tensors of a stream; the bits below the leading one have contexts too; signs have contexts;
the zero bin is the first of the unary ones. docs/ENTROPY.md specifies it to the bit.

    (rows, columns) -> level of the expected magnitude -> bins in its contexts -> range coder -> bytes
"""

from __future__ import annotations

import importlib
from functools import cache
from types import ModuleType

import numpy as np

from ..errors import UsageError
from .rangecoder import RangeReader, RangeWriter

MAX_VALUE = 1 << 38  # in magnitude
TARGET_UNIT = 256  # targets are in 1/256 of a level
IMPORTANCE_UNIT = 256
MAX_IMPORTANCE = 1 << 24
MAX_LMBDA = 16.0
_CONTEXTS = 48 * 175 + 9  # weights_kernels.CONTEXTS, known without importing numba
_LMBDA_UNIT = 1 << 16
_BYTES_A_VALUE = 256  # room for the longest: under 128 bits, at most two bytes each
_CHUNK = 1 << 14


class WeightEncoder(RangeWriter):
    """Codes integer tensors one after another, all in the same contexts; `finish` returns the bytes."""

    def __init__(self) -> None:
        super().__init__(_CONTEXTS)

    def encode(self, values: np.ndarray) -> None:
        """Code integers, (rows, columns), |values| <= 2**38. Raises UsageError for others."""
        flat, columns = _checked(values)
        state = np.zeros(3, np.int64)
        for start in range(0, len(flat), _CHUNK):
            stop = min(start + _CHUNK, len(flat))
            self._reserve(_BYTES_A_VALUE * (stop - start))
            kernels = _kernels()
            kernels.walk(self._coder, self._buffer, self._models, state, columns, flat, start, stop, kernels.WRITE)

    def bits(self, values: np.ndarray) -> float:
        """What `encode` would add for (rows, columns), to about 1 %, without doing it. Raises as `encode`."""
        flat, columns = _checked(values)
        kernels = _kernels()
        scratch = self._coder.copy(), self._buffer[:0], self._models.copy(), np.zeros(3, np.int64), columns
        return kernels.walk(*scratch, flat, 0, len(flat), kernels.TALLY) / 256

    def choose(self, targets: np.ndarray, lmbda: float, importance: np.ndarray | int = IMPORTANCE_UNIT) -> np.ndarray:
        """The levels that should be encoded next for `targets`: int64, of the same shape, encoding nothing.

        Greedy, one value after another: least importance / 256 * (target / 256 - level)^2 + lmbda * bits.

        targets: int (rows, columns) in 1/256 of a level, their levels within +-2**30; lmbda: 0..16, a squared level for
        a bit; importance: integers 1..2**24, one or (rows, columns), 256 is 1. Raises UsageError for others.
        """
        flat, columns = _checked(targets)
        if not 0 <= lmbda <= MAX_LMBDA:
            raise UsageError(f"lmbda {lmbda} is not in 0..{MAX_LMBDA:g}")
        weights = np.asarray(importance)
        if weights.dtype.kind not in "iu" or (weights.ndim and weights.shape != np.shape(targets)):
            raise UsageError("importance must be an integer, or integers in the shape of the targets")
        if weights.size and (int(weights.min()) < 1 or int(weights.max()) > MAX_IMPORTANCE):
            raise UsageError(f"importance must lie in 1..{MAX_IMPORTANCE}")
        levels = np.zeros(len(flat), np.int64)
        scratch = self._coder.copy(), self._buffer[:0], self._models.copy(), np.zeros(3, np.int64), columns
        each = np.ascontiguousarray(weights.reshape(-1), dtype=np.int32)
        if len(flat):
            _kernels().choose(*scratch, levels, flat, each, round(lmbda * _LMBDA_UNIT))
        return levels.reshape(np.shape(targets))


class WeightDecoder(RangeReader):
    """Gives back the tensors of a WeightEncoder, call by call. After an error its state means nothing."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data, _CONTEXTS)

    def decode(self, rows: int, columns: int) -> np.ndarray:
        """int64 (rows, columns), writeable. Raises CorruptStreamError where the stream ends early."""
        flat, state, means = np.zeros(rows * columns, np.int64), np.zeros(3, np.int64), np.zeros(columns, np.int64)
        kernels = _kernels()
        for start in range(0, len(flat), _CHUNK):
            stop = min(start + _CHUNK, len(flat))
            kernels.walk(self._coder, self._data, self._models, state, means, flat, start, stop, kernels.READ)
            self._check_end()
        return flat.reshape(rows, columns)


def _checked(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(flat int64 copy, zeros for the means of the columns). Raises UsageError."""
    values = np.asarray(values)
    if values.ndim != 2 or values.dtype.kind not in "iu":
        raise UsageError("weights must be integers of two dimensions, (rows, columns)")
    if values.size and (int(values.min()) < -MAX_VALUE or int(values.max()) > MAX_VALUE):
        raise UsageError(f"a weight lies outside -{MAX_VALUE}..{MAX_VALUE}")
    return values.astype(np.int64).reshape(-1), np.zeros(values.shape[1], np.int64)


@cache
def _kernels() -> ModuleType:
    """The compiled loops; numba is imported here, at the first use."""
    return importlib.import_module("calotype.entropy.weights_kernels")
