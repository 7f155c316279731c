"""Numba kernels of the fast integer execution: everything between two integer matrix products.

They take and give contiguous arrays; x is int16 with |x| <= 16383, so x = 128 * hi + lo with hi, lo in int8.
"""

from __future__ import annotations

import numpy as np
from numba import njit

ACT_MAX = 16383


@njit(cache=True, nogil=True)
def split(x: np.ndarray, hi: np.ndarray, lo: np.ndarray) -> None:
    """x (N,) int16 -> hi = x >> 7 in [-128, 127], lo = x & 127, both int8."""
    for i in range(x.size):
        hi[i] = x[i] >> 7
        lo[i] = x[i] & 127


@njit(cache=True, nogil=True)
def requantise(hi: np.ndarray, lo: np.ndarray, bias: np.ndarray, shift: np.ndarray, low: np.ndarray, high: np.ndarray, out: np.ndarray) -> None:
    """out[r, o] = clamp((128 * hi + lo + bias[o] + half) >> shift[o], low[o], high[o]).

    hi, lo: (R, O) int32 sums; |128 hi + lo + bias + half| < 2**31 is asserted at export.
    """
    rows, columns = hi.shape
    for r in range(rows):
        for o in range(columns):
            v = ((hi[r, o] << 7) + lo[r, o] + bias[o]) >> shift[o]  # bias holds the half already
            out[r, o] = min(max(v, low[o]), high[o])


@njit(cache=True, nogil=True)
def depthwise(x: np.ndarray, weight: np.ndarray, shift: np.ndarray, out: np.ndarray) -> None:
    """3x3 per channel, zero padding: x (B, H, W, C) int16, weight (9, C) int32, shift (C,) -> out int16.

    |sum| <= 9 * 63 * 16383 < 2**24.
    """
    batch, height, width, channels = x.shape
    acc = np.empty(channels, np.int32)
    for b in range(batch):
        for i in range(height):
            for j in range(width):
                for c in range(channels):
                    acc[c] = np.int32(1) << (shift[c] - 1)
                for di in range(max(0, 1 - i), min(3, height + 1 - i)):
                    for dj in range(max(0, 1 - j), min(3, width + 1 - j)):
                        row = x[b, i + di - 1, j + dj - 1]
                        w = weight[3 * di + dj]
                        for c in range(channels):
                            acc[c] += w[c] * row[c]
                for c in range(channels):
                    v = acc[c] >> shift[c]
                    out[b, i, j, c] = min(max(v, -ACT_MAX), ACT_MAX)


@njit(cache=True, nogil=True)
def features(value: np.ndarray, magnitude: np.ndarray, linear: int, table: np.ndarray, hi: np.ndarray, lo: np.ndarray) -> None:
    """Context features, split: value (R, M) int32 in 1/16, magnitude (R, M) int32 -> hi, lo (R, 2 M + linear) int8."""
    rows, m = value.shape
    top = table.size - 1
    for r in range(rows):
        for c in range(m):
            v = value[r, c]
            t = np.int32(table[min(abs(v), top)])
            if v < 0:
                t = -t
            hi[r, c] = t >> 7
            lo[r, c] = t & 127
            t = np.int32(table[min(magnitude[r, c], top >> 4) << 4])
            hi[r, m + c] = t >> 7
            lo[r, m + c] = t & 127
        for c in range(linear):
            t = min(max(value[r, c], -63 * 256), 63 * 256)
            hi[r, 2 * m + c] = t >> 7
            lo[r, 2 * m + c] = t & 127
