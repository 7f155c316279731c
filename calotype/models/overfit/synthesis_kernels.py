"""The compiled loops of synthesis.py: grids to planes, planes to pixels. All integer arithmetic.

Bounds: latents < 2^16 and gains < 2^12 give coefficients < 2^28; five levels of lifting grow them by less than 2^10, and their
products with 15-bit steps stay below 2^54. Pixels: planes are clamped to 2^27; with 2^13 of the colours, three of them, and
2^15 of the step that is below 2^58. Splitting: samples < 2^13 grow by less than 2^10. Adding: 2^27 times scales < 2^24.
"""

from __future__ import annotations

import numpy as np

from calotype.entropy.jit import kernel

STEPS = (-25987, -868, 14466, 7266)  # of the lifting, in 2^-14
SMOOTH, DETAIL = 14252, -18835  # inverses of the scales of the two halves, in 2^-14
FRACTION = 8  # of coefficients and planes, in steps
PLANE_TOP = 1 << 27


@kernel("void(int32[:, ::1], int64, int64, int64[:, ::1])")
def dequantise(values, gain, shrink, out):
    """Latents to coefficients: sign * (|value| * gain - shrink), 0 for 0."""
    for y in range(values.shape[0]):
        for x in range(values.shape[1]):
            v = np.int64(values[y, x])
            out[y, x] = v * gain - shrink if v > 0 else v * gain + shrink if v < 0 else np.int64(0)


@kernel("void(int64[:, ::1], int64[:, ::1], int64[:, ::1])")
def merge_down(even, odd, out):
    """Two halves (h, w) of columns to (2 h, w). The halves are scaled and overwritten."""
    h, w = even.shape
    for y in range(h):
        for x in range(w):
            even[y, x] = (even[y, x] * SMOOTH + 8192) >> 14
            odd[y, x] = (odd[y, x] * DETAIL + 8192) >> 14
    for k in (3, 1):
        for y in range(h):
            before = max(y - 1, 0)
            for x in range(w):
                even[y, x] -= ((odd[y, x] + odd[before, x]) * STEPS[k] + 8192) >> 14
        for y in range(h):
            behind = min(y + 1, h - 1)
            for x in range(w):
                odd[y, x] -= ((even[y, x] + even[behind, x]) * STEPS[k - 1] + 8192) >> 14
    for y in range(h):
        for x in range(w):
            out[2 * y, x] = even[y, x]
            out[2 * y + 1, x] = odd[y, x]


@kernel("void(int64[:, ::1], int64[:, ::1], int64[:, ::1])")
def merge_across(even, odd, out):
    """Two halves (h, w) of rows to (h, 2 w). The halves are scaled and overwritten."""
    h, w = even.shape
    for y in range(h):
        for x in range(w):
            even[y, x] = (even[y, x] * SMOOTH + 8192) >> 14
            odd[y, x] = (odd[y, x] * DETAIL + 8192) >> 14
        for k in (3, 1):
            for x in range(w):
                even[y, x] -= ((odd[y, x] + odd[y, max(x - 1, 0)]) * STEPS[k] + 8192) >> 14
            for x in range(w):
                odd[y, x] -= ((even[y, x] + even[y, min(x + 1, w - 1)]) * STEPS[k - 1] + 8192) >> 14
        for x in range(w):
            out[y, 2 * x] = even[y, x]
            out[y, 2 * x + 1] = odd[y, x]


@kernel("void(int64[:, ::1], int64[:, ::1], int64[:, ::1])")
def split_down(x, even, odd):
    """Columns (2 h, w) to their two halves (h, w): what `merge_down` undoes but for rounding."""
    h, w = even.shape
    for y in range(h):
        for c in range(w):
            even[y, c], odd[y, c] = x[2 * y, c], x[2 * y + 1, c]
    for k in (0, 2):
        for y in range(h):
            behind = min(y + 1, h - 1)
            for c in range(w):
                odd[y, c] += ((even[y, c] + even[behind, c]) * STEPS[k] + 8192) >> 14
        for y in range(h):
            before = max(y - 1, 0)
            for c in range(w):
                even[y, c] += ((odd[y, c] + odd[before, c]) * STEPS[k + 1] + 8192) >> 14
    for y in range(h):
        for c in range(w):
            even[y, c] = (even[y, c] * -DETAIL + 8192) >> 14
            odd[y, c] = (odd[y, c] * -SMOOTH + 8192) >> 14


@kernel("void(int64[:, ::1], int64[:, ::1], int64[:, ::1])")
def split_across(x, even, odd):
    """Rows (h, 2 w) to their two halves (h, w), as `split_down`."""
    h, w = even.shape
    for y in range(h):
        for c in range(w):
            even[y, c], odd[y, c] = x[y, 2 * c], x[y, 2 * c + 1]
        for k in (0, 2):
            for c in range(w):
                odd[y, c] += ((even[y, c] + even[y, min(c + 1, w - 1)]) * STEPS[k] + 8192) >> 14
            for c in range(w):
                even[y, c] += ((odd[y, c] + odd[y, max(c - 1, 0)]) * STEPS[k + 1] + 8192) >> 14
        for c in range(w):
            even[y, c] = (even[y, c] * -DETAIL + 8192) >> 14
            odd[y, c] = (odd[y, c] * -SMOOTH + 8192) >> 14


@kernel("void(int64[:, ::1], int16[:, ::1], int64, int16[:, ::1])")
def add(plane, base, scale, out):
    """A prediction in 1/32 level around 128 and what is added to it, in scale / 2^17 of that, as 8-bit samples go."""
    for y in range(out.shape[0]):
        for x in range(out.shape[1]):
            more = (min(max(plane[y, x], -PLANE_TOP), PLANE_TOP) * scale + (1 << 16)) >> 17
            out[y, x] = np.int16(min(max(base[y, x] + more, -4096), 4064))


@kernel("void(int64[:, :, ::1], int32[:, ::1], int64, uint8[:, :, ::1])")
def paint(planes, colours, step, pixels):
    """Planes (3, >= H, >= W) to pixels (H, W, 3). colours: (3 channels, 3 planes) in 2^-12; step: in 1/64."""
    for y in range(pixels.shape[0]):
        for x in range(pixels.shape[1]):
            for c in range(3):
                total = np.int64(0)
                for p in range(3):
                    total += min(max(planes[p, y, x], -PLANE_TOP), PLANE_TOP) * np.int64(colours[c, p])
                value = ((total * step + (1 << (FRACTION + 17))) >> (FRACTION + 18)) + 128
                pixels[y, x, c] = np.uint8(min(max(value, 0), 255))
