"""The loop of `Search.field`: each block's vectors and mode, at what they and what they leave will really take to code."""

from __future__ import annotations

import numpy as np

from ...entropy.jit import kernel
from .kernels import MARGIN, interpolate

TRIED = 14  # vectors that a block tries of each reference, at most
NEARER = 2  # times that it then looks a quarter pixel around the best


@kernel("int64(int64, int64[::1])", inline=True)
def class_of(value, bounds):
    """As numpy's searchsorted."""
    k = 0
    while k < len(bounds) and bounds[k] < value:
        k += 1
    return k


@kernel("void(int64[::1])", inline=True)
def sort(values):
    """A few, in place: numba's own sort takes a second to compile."""
    for k in range(1, len(values)):
        v = values[k]
        while k > 0 and values[k - 1] > v:
            values[k] = values[k - 1]
            k -= 1
        values[k] = v


@kernel("float64(float64[:, ::1], int64, int64)", inline=True)
def bits_of(table, row, value):
    """Of a difference; those beyond the table as its end."""
    middle = table.shape[1] // 2
    return table[row, min(max(value, -middle), middle) + middle]


@kernel("int64(int32[:, ::1], int64, int64, int32[::1])")
def coded(rest, side, shift, worth):
    """What a block of differences takes by `worth` of its 8 x 8 Hadamard coefficients, each shifted right to halves of a level;
    rest is overwritten."""
    total = np.int64(0)
    for top in range(0, side, 8):
        for span in (4, 2, 1):
            for y in range(8):
                if y & span == 0:
                    one, two = rest[top + y, :side], rest[top + y + span, :side]
                    for x in range(side):
                        a, b = one[x], two[x]
                        one[x], two[x] = a + b, a - b
        for y in range(top, top + 8):
            for left in range(0, side, 8):
                line = rest[y, left : left + 8]
                a, b, c, d = line[0] + line[4], line[1] + line[5], line[2] + line[6], line[3] + line[7]
                e, f, g, h = line[0] - line[4], line[1] - line[5], line[2] - line[6], line[3] - line[7]
                i, j, k, m, n, o, p, q = a + c, b + d, a - c, b - d, e + g, f + h, e - g, f - h
                total += worth[abs(i + j) >> shift] + worth[abs(i - j) >> shift]
                total += worth[abs(k + m) >> shift] + worth[abs(k - m) >> shift]
                total += worth[abs(n + o) >> shift] + worth[abs(n - o) >> shift]
                total += worth[abs(p + q) >> shift] + worth[abs(p - q) >> shift]
    return total


@kernel(
    "int64(uint8[:, ::1], int64, int64, int64, uint8[:, :, ::1], int64, int64, int32[:, ::1], int32[::1])",
    inline=True,
)
def coded_at(target, y0, x0, side, halves, v, u, rest, worth):
    """Of the target's block and the reference (v, u) quarter pixels on, which is told as in `difference_at`."""
    first, second = halves[2 * (v >> 1 & 1) + (u >> 1 & 1)], halves[2 * (v + 1 >> 1 & 1) + (u + 1 >> 1 & 1)]
    low_y, high_y = 4 - MARGIN, first.shape[0] - MARGIN - side - 4
    low_x, high_x = 4 - MARGIN, first.shape[1] - MARGIN - side - 4
    top, left = min(max(y0 + (v >> 2), low_y), high_y) + MARGIN, min(max(x0 + (u >> 2), low_x), high_x) + MARGIN
    top_2, left_2 = min(max(y0 + (v + 1 >> 2), low_y), high_y) + MARGIN, min(max(x0 + (u + 1 >> 2), low_x), high_x) + MARGIN
    for y in range(side):
        row, out = target[y0 + y + MARGIN, x0 + MARGIN : x0 + MARGIN + side], rest[y, :side]
        one, two = first[top + y, left : left + side], second[top_2 + y, left_2 : left_2 + side]
        for x in range(side):
            out[x] = np.int32(row[x]) - (np.int32(one[x]) + np.int32(two[x]) + 1 >> 1)
    return coded(rest, side, 2, worth)


@kernel("int64(uint8[:, ::1], int64, int64, int64, int32[:, ::1], int32[:, ::1], int32[:, ::1], int32[::1])", inline=True)
def coded_mean(target, y0, x0, side, one, two, rest, worth):
    """Of the target's block and the mean of two predictions, in 1/32 levels."""
    for y in range(side):
        row, out = target[y0 + y + MARGIN, x0 + MARGIN : x0 + MARGIN + side], rest[y, :side]
        a, b = one[y, :side], two[y, :side]
        for x in range(side):
            out[x] = (np.int32(row[x]) << 2) - ((a[x] + b[x] + 8) >> 4)
    return coded(rest, side, 4, worth)


@kernel("int64(uint8[:, ::1], int16[:, ::1], uint8[:, ::1], int64, int32[::1])")
def coded_whole(target, base, mode, block, worth):
    """Of the target and what `compensate` predicts of it; blocks whose mode is 3, intra, are told from their own means."""
    rest, total = np.empty((block, block), np.int32), 0
    for by in range(mode.shape[0]):
        for bx in range(mode.shape[1]):
            mean = np.int64(0)
            for y in range(block):
                row = target[by * block + y + MARGIN, bx * block + MARGIN : bx * block + MARGIN + block]
                below, out = base[by * block + y, bx * block : bx * block + block], rest[y, :block]
                for x in range(block):
                    out[x] = (np.int32(row[x]) << 2) - ((np.int32(below[x]) + 4100) >> 3)
                    mean += out[x]
            if mode[by, bx] == 3:
                rest -= np.int32(mean // (block * block))
            total += coded(rest, block, 4, worth)
    return total


@kernel("float64(int64, int64, int64[::1], int64[::1], boolean, float64[:, ::1], int64[::1], int64)", inline=True)
def vector_price(v, u, middle, spread, start, vector_bits, errors, classes):
    """Bits of a vector told from `middle`."""
    off = v - middle[0]
    first = len(vector_bits) - 1 if start else spread[0]
    second = first if start else classes * (1 + class_of(abs(off), errors)) + spread[1]
    return bits_of(vector_bits, first, off) + bits_of(vector_bits, second, u - middle[1])


@kernel(
    "float64(uint8[:, ::1], int64, int64, int64, uint8[:, :, ::1], int64[:, ::1], int64, int64[::1], int64[::1],"
    " boolean, float64[:, ::1], int64[::1], int64, float64, int64, int64[::1], float64[::1], int32[:, ::1], int32[::1])",
    inline=True,
)
def best_vector(
    target, y0, x0, side, halves, tried, count, middle, spread, start, vector_bits, errors, classes, price, limit, best,
    bits_out, rest, worth,
):  # fmt: skip
    """The cost of the cheapest of `count` vectors and of those a quarter pixel from it, NEARER times; best: that vector,
    bits_out[0]: its bits."""
    lowest, centre_v, centre_u, moved = 1e18, np.int64(0), np.int64(0), True
    for k in range(count + 4 * NEARER):
        if k >= count:
            side_of = (k - count) & 3
            if side_of == 0:
                if not moved:
                    break
                centre_v, centre_u, moved = best[0], best[1], False
            v, u = centre_v + (side_of == 0) - (side_of == 1), centre_u + (side_of == 2) - (side_of == 3)
            if abs(v) > limit or abs(u) > limit:
                continue
        else:
            v, u = min(max(tried[k, 0], -limit), limit), min(max(tried[k, 1], -limit), limit)
            seen = False
            for j in range(k):
                seen = seen or (tried[j, 0] == v and tried[j, 1] == u)
            if seen:
                continue
        bits = vector_price(v, u, middle, spread, start, vector_bits, errors, classes)
        cost = coded_at(target, y0, x0, side, halves, v, u, rest, worth) + price * bits
        if cost < lowest:
            lowest, bits_out[0], best[0], best[1], moved = cost, bits, v, u, True
    return lowest


@kernel(
    "void(uint8[:, ::1], uint8[:, ::1], uint8[:, ::1], uint8[:, :, :, ::1], int64, int16[:, :, :, ::1], int64[::1],"
    " int64[:, ::1], float64[:, ::1], float64[:, ::1], int64[::1], int64[::1], int16[:, ::1], int64, float64, int64,"
    " uint8[:, ::1], int64[:, :, ::1], int32[::1])"
)
def decide(
    target, first, second, halves, references, found, places, near, mode_bits, vector_bits, spreads, errors, filters, block,
    price, limit, mode, value, worth,
):  # fmt: skip
    """mode (h, w), value (references, h * w, 2) of all blocks in the order of `places`; near (4, blocks), -1 in the first step.
    Blocks whose mode is 3 already, intra, stay so.

    mode_bits (tables, 3), vector_bits (tables, differences); worth: of `coded`, at coefficients in halves of a level;
    price: of a bit in that.
    """
    h, w = mode.shape
    classes = len(spreads) + 1
    one, two, rest = np.empty((block, block), np.int32), np.empty((block, block), np.int32), np.empty((block, block), np.int32)
    rows = np.empty((block + 7, block), np.int16)
    tried, around_it = np.empty((TRIED, 2), np.int64), np.empty(4, np.int64)
    middle, spread = np.zeros((2, 2), np.int64), np.zeros((2, 2), np.int64)
    best, best_cost, best_bits = np.zeros((2, 2), np.int64), np.zeros(2), np.zeros(2)
    for n in range(len(places)):
        place = places[n]
        by, bx = place // w, place % w
        y0, x0 = by * block, bx * block
        start = near[0, n] < 0
        for r in range(references):
            for c in range(2):
                middle[r, c], spread[r, c] = 0, -1
                if not start:
                    for k in range(4):
                        around_it[k] = value[r, near[k, n], c]
                    sort(around_it)
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
                target, y0, x0, block, halves[r], tried, count, middle[r], spread[r], start, vector_bits, errors, classes,
                price, limit, best[r], best_bits[r : r + 1], rest, worth,
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
            interpolate(first, y0 + (v >> 2), x0 + (u >> 2), v & 3, u & 3, filters, block, block, rows, one)
            v, u = best[1, 0], best[1, 1]
            interpolate(second, y0 + (v >> 2), x0 + (u >> 2), v & 3, u & 3, filters, block, block, rows, two)
            near_cost = coded_mean(target, y0, x0, block, one, one, rest, worth) + price * (mode_bits[table, 0] + best_bits[0])
            far_cost = coded_mean(target, y0, x0, block, two, two, rest, worth) + price * (mode_bits[table, 1] + best_bits[1])
            both_cost = coded_mean(target, y0, x0, block, one, two, rest, worth)
            both_cost += price * (mode_bits[table, 2] + best_bits[0] + best_bits[1])
            chosen = 2 if both_cost < min(near_cost, far_cost) else 1 if far_cost < near_cost else 0
        mode[by, bx] = chosen
        for r in range(references):
            used = chosen == 2 or chosen == r
            for c in range(2):
                value[r, place, c] = best[r, c] if used else middle[r, c]
