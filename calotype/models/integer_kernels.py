"""Numba kernels of the fast integer execution: everything between two integer matrix products.

They take and give contiguous NHWC arrays; activations are int16 with |x| <= 16383.
"""

from __future__ import annotations

import numpy as np
from numba import njit

ACT_MAX, FEATURE_MAX = 16383, 2047


@njit(cache=True, nogil=True)
def requantise(
    acc: np.ndarray, bias: np.ndarray, shift: np.ndarray, low: np.ndarray, high: np.ndarray, out: np.ndarray
) -> None:
    """out[r, o] = clamp((acc[r, o] + bias[o]) >> shift[o], low[o], high[o]); bias holds the rounding half.

    acc: (R, O) int32, or floats holding integers; |acc + bias| < 2**31 is asserted when a layer is made.
    """
    rows, columns = acc.shape
    for r in range(rows):
        for o in range(columns):
            v = (np.int32(acc[r, o]) + bias[o]) >> shift[o]
            out[r, o] = min(max(v, low[o]), high[o])


@njit(cache=True, nogil=True)
def requantise_rows(
    acc: np.ndarray,
    bias: np.ndarray,
    which: np.ndarray,
    shift: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    out: np.ndarray,
) -> None:
    """As `requantise`, with the bias (levels, O) of level which[r] for row r."""
    rows, columns = acc.shape
    for r in range(rows):
        b = bias[which[r]]
        for o in range(columns):
            v = (np.int32(acc[r, o]) + b[o]) >> shift[o]
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
def absorb(
    mean: np.ndarray,
    symbol: np.ndarray,
    start: np.ndarray,
    stride: np.ndarray,
    offsets: np.ndarray,
    linear: int,
    table: np.ndarray,
    value: np.ndarray,
    context: np.ndarray,
) -> None:
    """Write one decoded step into value (h, w, M) int32, in 1/16, and context (h, w, 2 M + linear) int16.

    mean int16 in 1/16 and symbol int32, |symbol| <= 2**26: (G, P h/2, w/2, C); start, stride, offsets:
    `integer.Places`; table: `log_table`.
    """
    groups, rows, columns, channels = mean.shape
    m = value.shape[2]
    rows //= offsets.shape[1]
    top = table.size - 1
    for g in range(groups):
        for p in range(offsets.shape[1]):
            for r in range(rows):
                for k in range(columns):
                    i, j = 2 * r + offsets[g, p, 0], 2 * k + offsets[g, p, 1]
                    for c in range(channels):
                        s = symbol[g, p * rows + r, k, c]
                        v = np.int32(mean[g, p * rows + r, k, c]) + (s << 4)
                        channel = start[g] + stride[g] * c
                        value[i, j, channel] = v
                        t = table[min(abs(v), top)]
                        context[i, j, channel] = t if v >= 0 else -t
                        context[i, j, m + channel] = table[min(abs(s), top >> 4) << 4]
                        if channel < linear:
                            context[i, j, 2 * m + channel] = min(max((v + 2) >> 2, -FEATURE_MAX), FEATURE_MAX)
