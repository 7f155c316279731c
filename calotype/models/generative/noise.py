"""Noise that is a pure function of a seed and of the place: the same on every machine, in whatever parts a picture is made."""

from __future__ import annotations

import numpy as np

PLANES = 3
LANES = 4  # numbers of one hash in a candidate
_ONES = np.array([value.bit_count() for value in range(256)], np.int8)
# of the sum of four uniform integers below 2**16: mean, and standard deviation
_MEAN, _DEVIATION = 2 * (2**16 - 1), (4 * (2**32 - 1) / 12) ** 0.5


def noise(seed: int, top: int, left: int, height: int, width: int) -> np.ndarray:
    """Nearly normal numbers (3, height, width) float32 of unit variance, of a seed (0..2**32 - 1), at rows from `top` on and
    columns from `left` on. Integers up to one rounding: sums of the 16-bit parts of a hash (splitmix64's)."""
    rows = np.arange(top, top + height, dtype=np.uint64)[:, None]
    columns = np.arange(left, left + width, dtype=np.uint64)[None]
    planes = np.arange(PLANES, dtype=np.uint64)[:, None, None]
    with np.errstate(over="ignore"):
        start = _mixed(np.uint64(seed) * np.uint64(0x9E3779B97F4A7C15) + planes)
        hashed = _mixed(_mixed(start + rows) ^ (columns * np.uint64(0xD1B54A32D192ED03)))
    total = sum((hashed >> np.uint64(shift) & np.uint64(0xFFFF)).astype(np.int64) for shift in (0, 16, 32, 48))
    return (total - _MEAN).astype(np.float32) * np.float32(1 / _DEVIATION)


def keys(seed: int, step: int, blocks: int) -> np.ndarray:
    """Of the candidates of each block (`reverse.py`) at a step, uint64 (blocks,); `noise` has none of these."""
    with np.errstate(over="ignore"):
        start = _mixed(np.uint64(seed) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(PLANES + step))
        return _mixed(start + np.arange(blocks, dtype=np.uint64))


def candidates(key: np.ndarray, index: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Nearly normal numbers, int8, of variance 4: those at `place` in candidate `index` of a block whose key that is, arrays of
    one shape. Bits that are 1 of 16, less 8: 16 bits of a hash at a time, so that one serves LANES places."""
    place = place.astype(np.uint64)
    with np.errstate(over="ignore"):
        start = _mixed(key + index.astype(np.uint64))
        hashed = _mixed(start ^ (place // np.uint64(LANES) * np.uint64(0xD1B54A32D192ED03)))
    bits = hashed >> np.uint64(16) * (place % np.uint64(LANES)) & np.uint64(0xFFFF)
    return _ONES[bits & np.uint64(0xFF)] + _ONES[bits >> np.uint64(8)] - np.int8(8)


def _mixed(x: np.ndarray) -> np.ndarray:
    x = (x ^ x >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ x >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    return x ^ x >> np.uint64(31)
