"""The compiled loop of classfilter.py: activity and direction of samples. All integer arithmetic.

Bounds: samples within +-2^15 give Laplacians < 2^17 and sums of 25 of them < 2^22, of which products stay below 2^44.
"""

from __future__ import annotations

import numpy as np

from calotype.entropy.jit import kernel
from calotype.models.overfit.loop_kernels import REACH, inside
from calotype.models.overfit.sizes import BUSY, STRONG, TAP_REACH, WEAK

# by axis, across, down and the two diagonals: a step along it, (down, right)
STEPS = ((0, 1), (1, 0), (1, 1), (1, -1))
LONG = 2 * REACH + 1


@kernel("void(int16[:, ::1], int64, int64, uint8[:, ::1])")
def classify(wide, top, bottom, out):
    """The class of each sample of rows top..bottom - 1. wide: a plane (h + 2 TAP_REACH, w + 2 TAP_REACH); out: (h, w)."""
    h, w = out.shape
    first, last = inside(top - REACH, h), inside(bottom - 1 + REACH, h) + 1
    line = np.empty(w + 2 * REACH, np.int32)
    near = np.empty((4, last - first, w), np.int32)  # Laplacians, summed along rows
    for y in range(first, last):
        r = y + TAP_REACH
        for i in range(4):
            down, right = STEPS[i]
            for x in range(w):
                c = x + TAP_REACH
                v = 2 * np.int32(wide[r, c]) - wide[r + down, c + right] - wide[r - down, c - right]
                line[x + REACH] = abs(v)
            for k in range(REACH):
                line[k], line[w + REACH + k] = line[REACH], line[w + REACH - 1]
            for x in range(w):
                total = np.int32(0)
                for k in range(LONG):
                    total += line[x + k]
                near[i, y - first, x] = total
    sums = np.empty((4, w), np.int64)
    for y in range(top, bottom):
        for i in range(4):
            for x in range(w):
                sums[i, x] = 0
            for k in range(-REACH, REACH + 1):
                r = inside(y + k, h) - first
                for x in range(w):
                    sums[i, x] += near[i, r, x]
        for x in range(w):
            across, down, falling, rising = sums[0, x], sums[1, x], sums[2, x], sums[3, x]
            active = np.int64(0)
            for bound in BUSY:
                active += np.int64(across + down >= bound)
            most, least, axis = max(across, down), min(across, down), np.int64(across > down)
            if most * min(falling, rising) <= max(falling, rising) * least:
                most, least, axis = max(falling, rising), min(falling, rising), 2 + np.int64(falling > rising)
            strong = 5 * most > STRONG * least
            weak = 5 * most > WEAK * least
            out[y, x] = np.uint8(9 * active + (5 + axis if strong else 1 + axis if weak else 0))
