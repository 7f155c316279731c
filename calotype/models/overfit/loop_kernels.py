"""The compiled loops of loop.py. All integer arithmetic.

Bounds: samples within +-2^12 give Laplacians < 2^14 and sums of 25 of them < 2^19; those times 2^13, and bounds < 2^10 times
15-bit steps and 2^7, stay below 2^33. A correction is 12 differences < 2^14 of weights < 2^15: < 2^33, times a strength < 2^37.
"""

from __future__ import annotations

import numpy as np

from calotype.entropy.jit import kernel
from calotype.models.overfit.sizes import ACTIVITIES, CHANGES, LOOP_FRACTION, TAP_REACH, TAPS

SMALLEST, LARGEST = -4096, 4064  # samples in 1/32 level around 128
REACH = 2  # a class tells of (2 REACH + 1)^2 samples


@kernel("int64(int64, int64)", inline=True)
def inside(k, n):
    """The nearest index of n there are."""
    return min(max(k, 0), n - 1)


@kernel("void(int16[:, ::1], int16[:, ::1], int64, uint8[:, ::1])")
def classify(plane, base, unit, out):
    """The class of each sample. plane: SMALLEST..LARGEST; base: the prediction; unit: of `residual.unit`."""
    h, w = plane.shape
    near = np.empty((3, h, w), np.int32)  # Laplacians across and down, change; then sums along rows
    line = np.empty((3, w), np.int32)
    for y in range(h):
        above, below = inside(y - 1, h), inside(y + 1, h)
        for x in range(w):
            twice = 2 * np.int32(plane[y, x])
            line[0, x] = abs(twice - plane[y, inside(x - 1, w)] - plane[y, inside(x + 1, w)])
            line[1, x] = abs(twice - plane[above, x] - plane[below, x])
            line[2, x] = abs(np.int32(plane[y, x]) - base[y, x])
        for i in range(3):
            for x in range(w):
                total = np.int32(0)
                for k in range(-REACH, REACH + 1):
                    total += line[i, inside(x + k, w)]
                near[i, y, x] = total
    sums = np.empty(3, np.int64)
    for y in range(h):
        for x in range(w):
            for i in range(3):
                sums[i] = 0
                for k in range(-REACH, REACH + 1):
                    sums[i] += near[i, inside(y + k, h), x]
            active = np.int64(0)
            while active < len(ACTIVITIES) and (sums[0] + sums[1]) << 13 >= ACTIVITIES[active] * unit:
                active += 1
            along = np.int64(0) if 2 * sums[0] <= sums[1] else np.int64(2) if sums[0] >= 2 * (sums[1] + 1) else np.int64(1)
            changed = np.int64(0)
            while changed < len(CHANGES) and sums[2] << 13 >= CHANGES[changed] * unit:
                changed += 1
            out[y, x] = np.uint8((3 * active + along) * (len(CHANGES) + 1) + changed)


@kernel("void(int16[:, ::1], uint8[:, ::1], int32[:, ::1], int64[:, ::1])")
def correct(wide, classes, weights, out):
    """What the filter of each sample's class adds to it, in 2^-LOOP_FRACTION of the plane's unit. wide: the plane, TAP_REACH
    more samples on each side; weights: (classes, TAPS)."""
    h, w = out.shape
    for y in range(h):
        for x in range(w):
            out[y, x] = 0
        for k in range(len(TAPS)):
            down, right = TAPS[k]
            r, c = y + TAP_REACH, TAP_REACH
            for x in range(w):
                around = np.int32(wide[r + down, c + x + right]) + np.int32(wide[r - down, c + x - right])
                out[y, x] += np.int64(weights[classes[y, x], k]) * (around - 2 * np.int32(wide[r, c + x]))


@kernel("void(int16[:, ::1], int64[:, ::1], int64, uint8[:, ::1])")
def show(plane, more, strength, out):
    """8-bit samples of a plane and strength / 8 of what `correct` found; (0, 0): of the plane alone."""
    for y in range(out.shape[0]):
        for x in range(out.shape[1]):
            value = np.int64(plane[y, x])
            if strength:
                value += (more[y, x] * strength + (1 << (LOOP_FRACTION + 2))) >> (LOOP_FRACTION + 3)
            out[y, x] = np.uint8(min(max(((value + 16) >> 5) + 128, 0), 255))
