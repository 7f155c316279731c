"""The loops of compensation: interpolation of a rectangle, and the cells that up to four blocks share.

numba widens sums and products to int64, and LLVM narrows them back to what they are stored in: so rounding has a loop of its
own, and slices stand in place of offsets, which might be negative for all LLVM knows. Unsigned values are cast first, or
numba makes uint64 or float64 of them.
"""

from __future__ import annotations

import numpy as np

from ...entropy.jit import kernel

MARGIN = 40  # pixels of edge around a reference: a cell of 32, and 8 for the filters
TOP = 255 << 5


@kernel("void(Array(uint8, 2, 'C', readonly=True), uint8[:, ::1])")
def extend(plane, out):
    """Repeat the plane's edges MARGIN pixels out."""
    height, width = plane.shape
    for y in range(out.shape[0]):
        row = min(max(y - MARGIN, 0), height - 1)
        line, source = out[y], plane[row]
        for x in range(MARGIN):
            line[x] = source[0]
        for x in range(width):
            line[MARGIN + x] = source[x]
        for x in range(MARGIN + width, out.shape[1]):
            line[x] = source[width - 1]


@kernel("void(uint8[:, ::1], int64, int64, int64, int64, int16[:, ::1], int64, int64, int16[:, ::1], int32[:, ::1])")
def interpolate(plane, top, left, down, right, filters, height, width, rows, out):
    """out[:height, :width] = the plane at (top + down / phases, left + right / phases), in 1/32 levels, 0..TOP.

    plane: with its margin, which (top, left) count from inside of; both are held within it: further out all pixels of a row
    or column are the same.
    """
    top = min(max(top, 4 - MARGIN), plane.shape[0] - 2 * MARGIN + 4) + MARGIN
    left = min(max(left, 4 - MARGIN), plane.shape[1] - 2 * MARGIN + 4) + MARGIN
    count = height
    if down:
        top -= 3
        count += 7
    if right:
        left -= 3
        a, b, c, d = filters[right, 0], filters[right, 1], filters[right, 2], filters[right, 3]
        e, f, g, h = filters[right, 4], filters[right, 5], filters[right, 6], filters[right, 7]
        for y in range(count):
            source, row = plane[top + y, left : left + width + 7], rows[y, :width]
            for x in range(width):
                row[x] = (
                    (a * source[x] + b * source[x + 1] + c * source[x + 2] + d * source[x + 3])
                    + (e * source[x + 4] + f * source[x + 5] + g * source[x + 6] + h * source[x + 7])
                )  # fmt: skip
    else:
        for y in range(count):
            source, row = plane[top + y, left : left + width], rows[y, :width]
            for x in range(width):
                row[x] = np.int32(source[x]) << 6
    if down:
        a, b, c, d = filters[down, 0], filters[down, 1], filters[down, 2], filters[down, 3]
        e, f, g, h = filters[down, 4], filters[down, 5], filters[down, 6], filters[down, 7]
        for y in range(height):
            for x in range(width):
                out[y, x] = (
                    (a * rows[y, x] + b * rows[y + 1, x] + c * rows[y + 2, x] + d * rows[y + 3, x])
                    + (e * rows[y + 4, x] + f * rows[y + 5, x] + g * rows[y + 6, x] + h * rows[y + 7, x])
                )  # fmt: skip
        for y in range(height):
            for x in range(width):
                out[y, x] = min(max((out[y, x] + 64) >> 7, 0), TOP)
    else:
        for y in range(height):
            for x in range(width):
                out[y, x] = min(max((rows[y, x] + 1) >> 1, 0), TOP)


@kernel(
    "void(uint8[:, ::1], uint8[:, ::1], uint8[:, ::1], int16[:, :, :, ::1], int16[:, ::1], int64, int32[:, :, ::1],"
    " int64, int64, int64, int16[:, ::1], int32[:, :, ::1], int16[:, ::1], int16[:, ::1])"
)
def compensate_cells(first, second, mode, vectors, filters, bits, weights, block, start, end, rows, scratch, base, difference):
    """Rows `start` to `end` of cells of one plane. A cell is a block's size, half a block up and left of the block of its
    number, so that its pixels lie under the windows of the same four blocks; the field's edge repeats outwards.

    weights: (16, block, block), of each set of the four. rows (block + 7, block) and scratch (4, block, block) are overwritten.
    """
    one, two, total, apart = scratch[0], scratch[1], scratch[2], scratch[3]
    mask = (1 << bits) - 1
    half = block // 2
    shift = 0
    while (2 * block) ** 2 > 1 << shift:
        shift += 1
    for cell_y in range(start, end):
        y0, y1 = max(cell_y * block - half, 0), min(cell_y * block + half, base.shape[0])
        up, low = max(cell_y - 1, 0), min(cell_y, mode.shape[0] - 1)
        for cell_x in range(mode.shape[1] + 1):
            x0, x1 = max(cell_x * block - half, 0), min(cell_x * block + half, base.shape[1])
            height, width = y1 - y0, x1 - x0
            dy, dx = y0 - cell_y * block + half, x0 - cell_x * block + half
            for y in range(height):
                for x in range(width):
                    total[y, x] = 0
                    apart[y, x] = 0
            done = 0
            for k in range(4):
                if done >> k & 1:
                    continue
                by = low if k & 2 else up
                bx = min(cell_x, mode.shape[1] - 1) if k & 1 else max(cell_x - 1, 0)
                members = 0
                for j in range(k, 4):
                    cy = low if j & 2 else up
                    cx = min(cell_x, mode.shape[1] - 1) if j & 1 else max(cell_x - 1, 0)
                    same = mode[cy, cx] == mode[by, bx]
                    for r in range(2):
                        for i in range(2):
                            same = same and vectors[r, cy, cx, i] == vectors[r, by, bx, i]
                    members |= same << j
                done |= members
                used = mode[by, bx]
                for r in range(2):
                    if used != 1 - r and used != 3:
                        v, u = vectors[r, by, bx, 0], vectors[r, by, bx, 1]
                        plane, out = (first, one) if r == 0 else (second, two)
                        top, left = y0 + (v >> bits), x0 + (u >> bits)
                        interpolate(plane, top, left, v & mask, u & mask, filters, height, width, rows, out)
                weight = weights[members]
                for y in range(height):
                    for x in range(width):
                        if used == 0:
                            total[y, x] += 2 * weight[dy + y, dx + x] * one[y, x]
                        elif used == 1:
                            total[y, x] += 2 * weight[dy + y, dx + x] * two[y, x]
                        elif used == 3:
                            total[y, x] += weight[dy + y, dx + x] << 13
                        else:
                            total[y, x] += weight[dy + y, dx + x] * (one[y, x] + two[y, x])
                            apart[y, x] += weight[dy + y, dx + x] * (one[y, x] - two[y, x])
            for y in range(height):
                for x in range(width):
                    base[y0 + y, x0 + x] = ((total[y, x] + (1 << shift)) >> (shift + 1)) - (128 << 5)
                    difference[y0 + y, x0 + x] = (apart[y, x] + (1 << (shift - 1))) >> shift
