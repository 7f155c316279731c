"""The loops of motion search, all in integers: costs are sums of absolute differences in 1/32 of a level."""

from __future__ import annotations

import numpy as np

from ...entropy.jit import kernel
from .kernels import MARGIN, interpolate

REACH = 12  # of the coarse search, in pixels of planes a quarter as wide (to the right 3 more, for vectors of 32)
SPAN = 32
SURROUND = 2  # such pixels around a block that it compares too
STARTS = 3  # best places of the coarse search that the fine one starts from
STEPS = 16  # of the fine search, at most


@kernel("void(Array(uint8, 2, 'C', readonly=True), uint8[:, ::1])")
def quarter(plane, out):
    """Means of 4 x 4 pixels."""
    for y in range(out.shape[0]):
        a, b, c, d = plane[4 * y], plane[4 * y + 1], plane[4 * y + 2], plane[4 * y + 3]
        for x in range(out.shape[1]):
            total = np.int32(8)
            for j in range(4):
                i = 4 * x + j
                total += np.int32(a[i]) + np.int32(b[i]) + np.int32(c[i]) + np.int32(d[i])
            out[y, x] = total >> 4


@kernel("void(uint8[:, ::1], uint8[:, :, ::1])")
def halve(plane, out):
    """The plane, and with HEVC's filter what lies half a pixel right, below, and both: out[2 * down + right]. The outermost
    four pixels of the margin stay unset."""
    height, width = plane.shape
    line = np.empty(width, np.int32)
    sums = np.empty((height, width), np.int16)
    for y in range(height):
        source, whole, half, row = plane[y, :width], out[0, y], out[1, y, 3:], sums[y, 3:]
        for x in range(width):
            whole[x] = source[x]
        for x in range(width - 7):
            line[x] = (
                40 * (np.int32(source[x + 3]) + source[x + 4]) - 11 * (np.int32(source[x + 2]) + source[x + 5])
                + 4 * (np.int32(source[x + 1]) + source[x + 6]) - (np.int32(source[x]) + source[x + 7])
            )  # fmt: skip
        for x in range(width - 7):
            row[x] = line[x]
            half[x] = min(max((line[x] + 32) >> 6, 0), 255)
    for y in range(3, height - 4):
        a, b, c, d = plane[y - 3], plane[y - 2], plane[y - 1], plane[y]
        e, f, g, h = plane[y + 1], plane[y + 2], plane[y + 3], plane[y + 4]
        half = out[2, y]
        for x in range(width):
            line[x] = (
                40 * (np.int32(d[x]) + e[x]) - 11 * (np.int32(c[x]) + f[x])
                + 4 * (np.int32(b[x]) + g[x]) - (np.int32(a[x]) + h[x])
            )  # fmt: skip
        for x in range(width):
            half[x] = min(max((line[x] + 32) >> 6, 0), 255)
        i, j, k, m = sums[y - 3], sums[y - 2], sums[y - 1], sums[y]
        n, o, p, q = sums[y + 1], sums[y + 2], sums[y + 3], sums[y + 4]
        both = out[3, y]
        for x in range(width):
            line[x] = (
                40 * (np.int32(m[x]) + n[x]) - 11 * (np.int32(k[x]) + o[x])
                + 4 * (np.int32(j[x]) + p[x]) - (np.int32(i[x]) + q[x])
            )  # fmt: skip
        for x in range(width):
            both[x] = min(max((line[x] + 2048) >> 12, 0), 255)


@kernel("int64(uint8[:, ::1], int64, int64, int64, int64, uint8[:, :, ::1], int64, int64)")
def difference_at(target, y0, x0, height, width, halves, v, u):
    """Of the target's rectangle and the reference (v, u) quarter pixels on. A quarter position is the mean of the two half
    ones around it: near enough to find the vector.
    """
    first, second = halves[2 * (v >> 1 & 1) + (u >> 1 & 1)], halves[2 * (v + 1 >> 1 & 1) + (u + 1 >> 1 & 1)]
    low_y, high_y = 4 - MARGIN, first.shape[0] - MARGIN - height - 4
    low_x, high_x = 4 - MARGIN, first.shape[1] - MARGIN - width - 4
    top, left = min(max(y0 + (v >> 2), low_y), high_y) + MARGIN, min(max(x0 + (u >> 2), low_x), high_x) + MARGIN
    total = 0
    if (v | u) & 1:
        top_2 = min(max(y0 + (v + 1 >> 2), low_y), high_y) + MARGIN
        left_2 = min(max(x0 + (u + 1 >> 2), low_x), high_x) + MARGIN
        for y in range(height):
            row = target[y0 + y + MARGIN, x0 + MARGIN : x0 + MARGIN + width]
            one, two = first[top + y, left : left + width], second[top_2 + y, left_2 : left_2 + width]
            part = np.int32(0)
            for x in range(width):
                part += np.int32(abs(np.int32(row[x]) - (np.int32(one[x]) + np.int32(two[x]) + 1 >> 1)))
            total += part
    else:
        for y in range(height):
            row = target[y0 + y + MARGIN, x0 + MARGIN : x0 + MARGIN + width]
            one = first[top + y, left : left + width]
            part = np.int32(0)
            for x in range(width):
                part += np.int32(abs(np.int32(row[x]) - np.int32(one[x])))
            total += part
    return total << 5


@kernel("int64(int64, int64, int64, int64)", inline=True)
def vector_bits(v, u, middle_v, middle_u):
    """Of the difference to what the neighbours say, as an exp-Golomb code would spend them."""
    bits = 2
    for distance in (abs(v - middle_v), abs(u - middle_u)):
        while distance > 0:
            bits += 2
            distance >>= 1
    return bits


@kernel("int64(int64, int64, int64)", inline=True)
def median(a, b, c):
    return max(min(a, b), min(max(a, b), c))


@kernel("void(uint8[:, ::1], int64, int64, int64, uint8[:, ::1], int64[:, ::1], uint16[::1])", inline=True)
def coarse_starts(target, y0, x0, side, plane, starts, sums):
    """The STARTS best (cost, dy, dx) of all within reach, in pixels of the coarse planes; far ones pay a little.

    A sum is 12 * 12 * 255 at most, of blocks of 32: below 2**16.
    """
    for k in range(STARTS):
        starts[k, 0], starts[k, 1], starts[k, 2] = 1 << 60, 0, 0
    for dy in range(-REACH, REACH + 1):
        for i in range(SPAN):
            sums[i] = 0
        for y in range(side):
            row, other = target[y0 + y + MARGIN], plane[y0 + y + dy + MARGIN]
            for x in range(side):
                first = x0 + x + MARGIN - REACH
                value, places = row[x0 + x + MARGIN], other[first : first + SPAN]
                for i in range(SPAN):
                    sums[i] += np.uint16(max(value, places[i]) - min(value, places[i]))
        for i in range(SPAN):
            dx = i - REACH
            cost = 8 * np.int64(sums[i]) + abs(dy) + abs(dx)
            if cost >= starts[STARTS - 1, 0]:
                continue
            k = STARTS - 1
            while k > 0 and cost < starts[k - 1, 0]:
                for part in range(3):
                    starts[k, part] = starts[k - 1, part]
                k -= 1
            starts[k, 0], starts[k, 1], starts[k, 2] = cost, dy, dx


@kernel(
    "void(uint8[:, ::1], uint8[:, :, ::1], uint8[:, ::1], uint8[:, ::1], int16[:, :, ::1], int64, int64, int64,"
    " int64, int16[:, :, ::1], int64[:, ::1], int64[:, ::1])"
)
def search_reference(target, halves, coarse, coarse_plane, previous, block, around, price, limit, found, bits, costs):
    """found (h, w, 2), its bits and its cost with them (h, w): the best vector of each block into one reference. All planes
    have their margins."""
    height, width = target.shape[0] - 2 * MARGIN, target.shape[1] - 2 * MARGIN
    sums, starts, tried = np.empty(SPAN, np.uint16), np.empty((STARTS, 3), np.int64), np.empty((5 + STARTS, 2), np.int64)
    side = block // 4 + 2 * SURROUND
    for by in range(found.shape[0]):
        for bx in range(found.shape[1]):
            y0, x0 = max(by * block - around, 0), max(bx * block - around, 0)
            high, wide = min(by * block + block + around, height) - y0, min(bx * block + block + around, width) - x0
            # Zero, left, above, above and right (each by another where there is none), as before, and the coarse ones.
            tried[:] = 0
            if by > 0:
                tried[2, 0], tried[2, 1] = found[by - 1, bx, 0], found[by - 1, bx, 1]
                corner = min(bx + 1, found.shape[1] - 1)
                tried[3, 0], tried[3, 1] = found[by - 1, corner, 0], found[by - 1, corner, 1]
                tried[1, 0], tried[1, 1] = tried[2, 0], tried[2, 1]
            if bx > 0:
                tried[1, 0], tried[1, 1] = found[by, bx - 1, 0], found[by, bx - 1, 1]
                if by == 0:
                    tried[2, 0], tried[2, 1] = tried[1, 0], tried[1, 1]
                    tried[3, 0], tried[3, 1] = tried[1, 0], tried[1, 1]
            mv, mu = median(tried[1, 0], tried[2, 0], tried[3, 0]), median(tried[1, 1], tried[2, 1], tried[3, 1])
            tried[4, 0], tried[4, 1] = previous[by, bx, 0], previous[by, bx, 1]
            coarse_starts(coarse, by * (block // 4) - SURROUND, bx * (block // 4) - SURROUND, side, coarse_plane, starts, sums)
            for k in range(STARTS):
                tried[5 + k, 0], tried[5 + k, 1] = 16 * starts[k, 1], 16 * starts[k, 2]

            best, best_v, best_u = 1 << 60, 0, 0
            for k in range(5 + STARTS):
                v, u = tried[k, 0], tried[k, 1]
                seen = False
                for j in range(k):
                    seen = seen or (tried[j, 0] == v and tried[j, 1] == u)
                if not seen:
                    cost = difference_at(target, y0, x0, high, wide, halves, v, u) + price * vector_bits(v, u, mv, mu)
                    if cost < best:
                        best, best_v, best_u = cost, v, u
            # Diamonds of two pixels and of one as far as they lead, then squares of half and of a quarter.
            step, left = 8, STEPS
            while step > 0:
                centre_v, centre_u = best_v, best_u
                for k in range(8 if step < 4 else 4):
                    v = centre_v + step * ((k == 0) - (k == 1) + (k == 4) + (k == 5) - (k == 6) - (k == 7))
                    u = centre_u + step * ((k == 2) - (k == 3) + (k == 4) - (k == 5) + (k == 6) - (k == 7))
                    if abs(v) <= limit and abs(u) <= limit:
                        cost = difference_at(target, y0, x0, high, wide, halves, v, u) + price * vector_bits(v, u, mv, mu)
                        if cost < best:
                            best, best_v, best_u = cost, v, u
                left -= 1
                if step < 4 or left <= 0 or (centre_v == best_v and centre_u == best_u):
                    step >>= 1
            found[by, bx, 0], found[by, bx, 1] = best_v, best_u
            bits[by, bx] = vector_bits(best_v, best_u, mv, mu)
            costs[by, bx] = best


@kernel("void(uint8[:, ::1], int64, int64, int64[:, ::1])")
def vary(target, block, around, out):
    """out (h, w): what a block, with what it compares around itself, differs from its mean, in 1/32 levels of absolute
    difference."""
    height, width = target.shape[0] - 2 * MARGIN, target.shape[1] - 2 * MARGIN
    for by in range(out.shape[0]):
        for bx in range(out.shape[1]):
            y0, x0 = max(by * block - around, 0), max(bx * block - around, 0)
            y1, x1 = min(by * block + block + around, height), min(bx * block + block + around, width)
            total = 0
            for y in range(y0, y1):
                for x in range(x0, x1):
                    total += np.int64(target[y + MARGIN, x + MARGIN])
            mean = (32 * total) // ((y1 - y0) * (x1 - x0))
            total = 0
            for y in range(y0, y1):
                for x in range(x0, x1):
                    total += abs((np.int64(target[y + MARGIN, x + MARGIN]) << 5) - mean)
            out[by, bx] = total


@kernel("UniTuple(int64, 3)(uint8[:, ::1], int64, int64, int64, int64, int32[:, ::1], int32[:, ::1])", inline=True)
def mode_errors(target, y0, x0, high, wide, one, two):
    """Of the target's rectangle: twice the error of both predictions' mean, and the errors of each."""
    total, near, far = 0, 0, 0
    for y in range(high):
        row = target[y0 + y + MARGIN, x0 + MARGIN : x0 + MARGIN + wide]
        for x in range(wide):
            wanted = np.int32(row[x]) << 5
            total += abs(2 * wanted - one[y, x] - two[y, x])
            near += abs(wanted - one[y, x])
            far += abs(wanted - two[y, x])
    return total, near, far


@kernel(
    "void(uint8[:, ::1], uint8[:, ::1], uint8[:, ::1], int16[:, :, :, ::1], int64[:, :, ::1], int16[:, ::1], int64, int64,"
    " int64, uint8[:, ::1], int16[:, ::1], int32[:, :, ::1])"
)
def choose_modes(target, first, second, vectors, bits, filters, block, around, price, mode, rows, scratch):
    """The cheapest of first, second and both for each block; vectors that it leaves out become 0."""
    height, width = target.shape[0] - 2 * MARGIN, target.shape[1] - 2 * MARGIN
    one, two = scratch[0], scratch[1]
    for by in range(mode.shape[0]):
        for bx in range(mode.shape[1]):
            y0, x0 = max(by * block - around, 0), max(bx * block - around, 0)
            high, wide = min(by * block + block + around, height) - y0, min(bx * block + block + around, width) - x0
            v, u = vectors[0, by, bx, 0], vectors[0, by, bx, 1]
            interpolate(first, y0 + (v >> 2), x0 + (u >> 2), v & 3, u & 3, filters, high, wide, rows, one)
            v, u = vectors[1, by, bx, 0], vectors[1, by, bx, 1]
            interpolate(second, y0 + (v >> 2), x0 + (u >> 2), v & 3, u & 3, filters, high, wide, rows, two)
            total, near, far = mode_errors(target, y0, x0, high, wide, one, two)
            near += price * (1 + bits[0, by, bx])
            far += price * (2 + bits[1, by, bx])
            total = (total >> 1) + price * (2 + bits[0, by, bx] + bits[1, by, bx])
            mode[by, bx] = 2 if total < min(near, far) else far < near
            if mode[by, bx] != 2:
                unused = 1 - mode[by, bx]
                vectors[unused, by, bx, 0], vectors[unused, by, bx, 1] = 0, 0
