"""The compiled loops of cellnet.py. All integer arithmetic.

Bounds: activations < 2^11 and |weights| < 2^13 in at most 64 products, with a bias < 2^29, stay below 2^31.
"""

from __future__ import annotations

import numpy as np

from calotype.entropy.jit import kernel

FRACTION = 8  # of planes, in steps
FILTER_FRACTION = 6  # of activations
TOP = 2047
_SHIFT = FRACTION - FILTER_FRACTION


@kernel("int32(int32)", inline=True)
def clip(v):
    return min(max(v, np.int32(-TOP)), np.int32(TOP))


@kernel("int32(int64)", inline=True)
def clip_wide(v):
    return np.int32(min(max(v, -TOP), TOP))


@kernel("void(int32[::1], int32[:, ::1], int32[::1], boolean, int32[::1], int32[::1])", inline=True)
def mix(x, weight, bias, linear, acc, out):
    """A vector by a matrix; leaky and clipped but where it is linear."""
    for j in range(len(acc)):
        acc[j] = bias[j]
    for i in range(len(x)):
        v = x[i]
        for j in range(len(acc)):
            acc[j] += v * weight[i, j]
    if linear:
        for j in range(len(acc)):
            out[j] = acc[j] >> np.int32(10)
    else:
        for j in range(len(acc)):
            v = acc[j] >> np.int32(10)
            out[j] = clip(max(v, v >> np.int32(3)))


@kernel("void(int64[:, :, ::1], int64, int64, int32[:, ::1], int32[::1], int32[:, :, ::1])")
def enter(planes, side, start, weight, bias, out):
    """Rows of cells from `start` on, less the mean of 3x3 cells around, into hidden channels."""
    height, width = planes.shape[1] // side, planes.shape[2] // side
    rows = out.shape[0]
    total = np.zeros((3, rows + 2, width), np.int64)
    for p in range(3):
        for r in range(rows + 2):
            y = min(max(start + r - 1, 0), height - 1)
            for x in range(width):
                for i in range(side):
                    for j in range(side):
                        total[p, r, x] += planes[p, side * y + i, side * x + j]
    scale = 65536 // (9 * side * side)
    cell = np.empty(3 * side * side, np.int32)
    acc = np.empty(len(bias), np.int32)
    for r in range(rows):
        for x in range(width):
            for p in range(3):
                around = np.int64(0)
                for i in range(3):
                    for j in range(-1, 2):
                        around += total[p, r + i, min(max(x + j, 0), width - 1)]
                around = (around * scale + (1 << 15)) >> 16
                for i in range(side):
                    for j in range(side):
                        v = planes[p, side * (start + r) + i, side * x + j] - around
                        cell[side * (side * p + i) + j] = clip_wide(v >> _SHIFT)
            mix(cell, weight, bias, False, acc, out[r, x])


@kernel(
    "void(int32[:, :, ::1], int64, int64, int32[:, ::1], int32[::1], int32[:, ::1], int32[::1], boolean, int64, "
    "int32[:, :, ::1])"
)
def block(x, first, height, spread, spread_bias, weight, bias, linear, start, out):
    """Rows from `start` on of 3x3 of each channel, then mixed. x: rows from `first` on of `height`."""
    width, channels = x.shape[1], x.shape[2]
    hidden, acc = np.empty(channels, np.int32), np.empty(len(bias), np.int32)
    for r in range(out.shape[0]):
        for c in range(width):
            for j in range(channels):
                hidden[j] = spread_bias[j]
            for i in range(3):
                u = min(max(start + r + i - 1, 0), height - 1) - first
                for k in range(3):
                    v = min(max(c + k - 1, 0), width - 1)
                    for j in range(channels):
                        hidden[j] += x[u, v, j] * spread[3 * i + k, j]
            for j in range(channels):
                hidden[j] = clip(hidden[j] >> np.int32(10))
            mix(hidden, weight, bias, linear, acc, out[r, c])


@kernel("void(int64[:, :, ::1], int32[:, :, ::1], int64, int64, int64[:, :, ::1])")
def add(planes, more, side, start, out):
    """Planes and what cells from the row `start` on add to them."""
    for r in range(more.shape[0]):
        for x in range(more.shape[1]):
            for p in range(3):
                for i in range(side):
                    for j in range(side):
                        y, c = side * (start + r) + i, side * x + j
                        out[p, y, c] = planes[p, y, c] + (np.int64(more[r, x, side * (side * p + i) + j]) << _SHIFT)
