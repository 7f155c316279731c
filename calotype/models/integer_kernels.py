"""Numba kernels of the fast integer execution: everything between two integer matrix products.

They take and give contiguous NHWC arrays; activations are int16 with |x| <= 16383.
"""

from __future__ import annotations

import numpy as np
from numba import njit

ACT_MAX = 16383


@njit(cache=True, nogil=True)
def requantise(acc: np.ndarray, bias: np.ndarray, shift: np.ndarray, low: np.ndarray, high: np.ndarray, out: np.ndarray) -> None:
    """out[r, o] = clamp((acc[r, o] + bias[o]) >> shift[o], low[o], high[o]); bias holds the rounding half.

    acc: (R, O) int32, or float64 holding integers; |acc + bias| < 2**31 is asserted when a layer is made.
    """
    rows, columns = acc.shape
    for r in range(rows):
        for o in range(columns):
            v = (np.int32(acc[r, o]) + bias[o]) >> shift[o]
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
def features(value: np.ndarray, magnitude: np.ndarray, linear: int, table: np.ndarray, out: np.ndarray) -> None:
    """Context features: value (R, M) int32 in 1/16, magnitude (R, M) int32 -> out (R, 2 M + linear) int16."""
    rows, m = value.shape
    top = table.size - 1
    for r in range(rows):
        for c in range(m):
            v = value[r, c]
            t = table[min(abs(v), top)]
            out[r, c] = t if v >= 0 else -t
            out[r, m + c] = table[min(magnitude[r, c], top >> 4) << 4]
        for c in range(linear):
            out[r, 2 * m + c] = min(max(value[r, c], -63 * 256), 63 * 256)
