"""The loop of `decide.py`: each block's vectors and mode, at what they will really take to code."""

from __future__ import annotations

import numpy as np

from ...entropy.jit import kernel
from .kernels import MARGIN, interpolate
from .search_kernels import difference_at, mode_errors

TRIED = 14  # vectors that a block tries of each reference, at most


@kernel("int64(int64, int64[::1])", inline=True)
def class_of(value, bounds):
    """As numpy's searchsorted."""
    k = 0
    while k < len(bounds) and bounds[k] < value:
        k += 1
    return k


@kernel("float64(float64[:, ::1], int64, int64)", inline=True)
def bits_of(table, row, value):
    """Of a difference; those beyond the table as its end."""
    middle = table.shape[1] // 2
    return table[row, min(max(value, -middle), middle) + middle]


@kernel(
    "float64(uint8[:, ::1], int64, int64, int64, int64, uint8[:, :, ::1], int64[:, ::1], int64, int64[::1], int64[::1],"
    " boolean, float64[:, ::1], int64[::1], int64, float64, int64, int64[::1], float64[::1])",
    inline=True,
)
def best_vector(
    target, y0, x0, high, wide, halves, tried, count, middle, spread, start, vector_bits, errors, classes, price, limit, best,
    bits_out,
):  # fmt: skip
    """The cost of the cheapest of `count` vectors; best: that vector, bits_out[0]: its bits."""
    lowest = 1e18
    for k in range(count):
        v, u = min(max(tried[k, 0], -limit), limit), min(max(tried[k, 1], -limit), limit)
        seen = False
        for j in range(k):
            seen = seen or (tried[j, 0] == v and tried[j, 1] == u)
        if seen:
            continue
        off = v - middle[0]
        first = len(vector_bits) - 1 if start else spread[0]
        second = first if start else classes * (1 + class_of(abs(off), errors)) + spread[1]
        bits = bits_of(vector_bits, first, off) + bits_of(vector_bits, second, u - middle[1])
        cost = difference_at(target, y0, x0, high, wide, halves, v, u) + price * bits
        if cost < lowest:
            lowest, bits_out[0], best[0], best[1] = cost, bits, v, u
    return lowest


@kernel(
    "void(uint8[:, ::1], uint8[:, ::1], uint8[:, ::1], uint8[:, :, :, ::1], int64, int16[:, :, :, ::1], int64[::1],"
    " int64[:, ::1], float64[:, ::1], float64[:, ::1], int64[::1], int64[::1], int16[:, ::1], int64, int64, float64,"
    " int64, uint8[:, ::1], int64[:, :, ::1], int16[:, ::1], int32[:, :, ::1])"
)
def decide(
    target, first, second, halves, references, found, places, near, mode_bits, vector_bits, spreads, errors, filters, block,
    around, price, limit, mode, value, rows, scratch,
):  # fmt: skip
    """mode (h, w), value (references, h * w, 2) of all blocks in the order of `places`; near (4, blocks), -1 in the first step.
    Blocks whose mode is 3 already, intra, stay so.

    mode_bits (tables, 3), vector_bits (tables, differences); price: of a bit, in 1/32 levels of absolute difference.
    """
    height, width = target.shape[0] - 2 * MARGIN, target.shape[1] - 2 * MARGIN
    h, w = mode.shape
    classes = len(spreads) + 1
    one, two = scratch[0], scratch[1]
    tried, around_it = np.empty((TRIED, 2), np.int64), np.empty(4, np.int64)
    middle, spread = np.zeros((2, 2), np.int64), np.zeros((2, 2), np.int64)
    best, best_cost, best_bits = np.zeros((2, 2), np.int64), np.zeros(2), np.zeros(2)
    for n in range(len(places)):
        place = places[n]
        by, bx = place // w, place % w
        y0, x0 = max(by * block - around, 0), max(bx * block - around, 0)
        high, wide = min(by * block + block + around, height) - y0, min(bx * block + block + around, width) - x0
        start = near[0, n] < 0
        for r in range(references):
            for c in range(2):
                middle[r, c], spread[r, c] = 0, -1
                if not start:
                    for k in range(4):
                        around_it[k] = value[r, near[k, n], c]
                    around_it.sort()
                    middle[r, c] = (around_it[1] + around_it[2]) >> 1
                    spread[r, c] = class_of(around_it[3] - around_it[0], spreads)
            if mode[by, bx] == 3:
                value[r, place, 0], value[r, place, 1] = middle[r, 0], middle[r, 1]
                continue
            count = 3
            tried[0, 0], tried[0, 1] = middle[r, 0], middle[r, 1]
            tried[1, 0], tried[1, 1] = found[r, by, bx, 0], found[r, by, bx, 1]
            tried[2, 0], tried[2, 1] = 0, 0
            for k in range(4):
                y = min(max(by + (k == 0) - (k == 1), 0), h - 1)
                x = min(max(bx + (k == 2) - (k == 3), 0), w - 1)
                tried[count, 0], tried[count, 1] = found[r, y, x, 0], found[r, y, x, 1]
                count += 1
                if not start:
                    tried[count, 0], tried[count, 1] = value[r, near[k, n], 0], value[r, near[k, n], 1]
                    count += 1
            best_cost[r] = best_vector(
                target, y0, x0, high, wide, halves[r], tried, count, middle[r], spread[r], start, vector_bits, errors, classes,
                price, limit, best[r], best_bits[r : r + 1],
            )  # fmt: skip
        if mode[by, bx] == 3:
            continue
        chosen = 0
        if references == 2:
            table = len(mode_bits) - 1
            if not start:
                nears, fars = 0, 0
                for k in range(4):
                    other = mode[near[k, n] // w, near[k, n] % w]
                    nears += other == 0
                    fars += other == 1
                table = 5 * nears + fars
            v, u = best[0, 0], best[0, 1]
            interpolate(first, y0 + (v >> 2), x0 + (u >> 2), v & 3, u & 3, filters, high, wide, rows, one)
            v, u = best[1, 0], best[1, 1]
            interpolate(second, y0 + (v >> 2), x0 + (u >> 2), v & 3, u & 3, filters, high, wide, rows, two)
            total, a, b = mode_errors(target, y0, x0, high, wide, one, two)
            near_cost = a + price * (mode_bits[table, 0] + best_bits[0])
            far_cost = b + price * (mode_bits[table, 1] + best_bits[1])
            both_cost = (total >> 1) + price * (mode_bits[table, 2] + best_bits[0] + best_bits[1])
            chosen = 2 if both_cost < min(near_cost, far_cost) else 1 if far_cost < near_cost else 0
        mode[by, bx] = chosen
        for r in range(references):
            used = chosen == 2 or chosen == r
            for c in range(2):
                value[r, place, c] = best[r, c] if used else middle[r, c]
