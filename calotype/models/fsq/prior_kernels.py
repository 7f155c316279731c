"""The compiled loop of prior.py: one channel of indices through mixed contexts and the binary coder. All integer arithmetic.

Bounds: as of overfit/mixing_kernels.py, whose mixing this runs, with as many maps as it allows.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from zlib import crc32

import numpy as np

from calotype.entropy import binary, jit
from calotype.models.fsq.config import COARSE_TOP, FINE_TOP
from calotype.models.overfit import mixing_kernels, prior_kernels
from calotype.models.overfit.prior_kernels import CHOOSE, DECODE, ENCODE, put_mixed

_parts = b"".join(Path(part.__file__).read_bytes() for part in (binary, mixing_kernels, prior_kernels))
_kernel = partial(jit.kernel, tag=f"{crc32(_parts):08x}")

WRITE, READ, LEARN = ENCODE, DECODE, CHOOSE
TOP = max(COARSE_TOP, FINE_TOP)
MARGIN = 2  # zeros around a plane
NODES = 1 + TOP  # of an index: whether it is 0, its sign, whether its size is more than 1, ...
# of the maps of a channel: how many contexts each has
SIZES = (49, 45, 49, 63, 96, 48, 63, 64, 84)
MAPS = len(SIZES)
CONTEXTS = sum(SIZES)
SETS = 8  # of weights of a channel, in two mixers
BYTES_AN_INDEX = 4 * NODES  # that the coder writes at most


@_kernel("int64(int64, int64)", inline=True)
def cut(v, top):
    """v within +-top, counted from 0."""
    return min(max(v, -top), top) + top


@_kernel("void(int64[::1], int32[:, :, ::1], int32[:, :, ::1], int64, int64, int64, int64)", inline=True)
def see(seen, planes, parents, number, c, row, column):
    """Where an index's bits are in the maps, then in the sets of weights. planes (C, h + 2 MARGIN, w + 2 MARGIN): of its scale,
    known before it; parents: the same of the coarser one, or none; number: of its channel among all; c: among its scale's."""
    y, x = row + MARGIN, column + MARGIN
    left, up = np.int64(planes[c, y, x - 1]), np.int64(planes[c, y - 1, x])
    corner, right = np.int64(planes[c, y - 1, x - 1]), np.int64(planes[c, y - 1, x + 1])
    around = abs(left) + abs(up) + abs(corner) + abs(right) + abs(planes[c, y, x - 2]) + abs(planes[c, y - 2, x])
    last, before, third, near, deep = np.int64(0), np.int64(0), np.int64(0), np.int64(0), np.int64(0)
    if c > 0:
        last = np.int64(planes[c - 1, y, x])
        for i in range(-1, 2):
            for j in range(-1, 2):
                near += abs(planes[c - 1, y + i, x + j])
    if c > 1:
        before = np.int64(planes[c - 2, y, x])
    if c > 2:
        third = np.int64(planes[c - 3, y, x])
    for k in range(c):
        deep += abs(planes[k, y, x])
    parity, parent, above = np.int64(0), np.int64(0), np.int64(0)
    if len(parents):
        parity = 2 * (row & 1) + (column & 1)
        for k in range(len(parents)):
            above += abs(parents[k, (row >> 1) + MARGIN, (column >> 1) + MARGIN])
        parent = np.int64(parents[c % len(parents), (row >> 1) + MARGIN, (column >> 1) + MARGIN])
    at = number * CONTEXTS
    seen[0] = at + cut(left, 3) + 7 * cut(up, 3)
    at += SIZES[0]
    seen[1] = at + cut(left + up - corner, 4) + 9 * cut(right - up, 2)
    at += SIZES[1]
    seen[2] = at + cut(last, 3) + 7 * cut(before, 3)
    at += SIZES[2]
    seen[3] = at + cut(last, 3) + 7 * cut(left + up, 4)
    at += SIZES[3]
    seen[4] = at + min(around, 11) + 12 * min(near >> 1, 7)
    at += SIZES[4]
    seen[5] = at + min(deep, 11) + 12 * parity
    at += SIZES[5]
    seen[6] = at + cut(third, 3) + 7 * (cut(left, 1) + 3 * cut(up, 1))
    at += SIZES[6]
    seen[7] = at + min(above, 15) + 16 * parity
    at += SIZES[7]
    seen[8] = at + cut(parent, 3) + 7 * (cut(left, 1) + 3 * parity)
    seen[MAPS] = NODES * (SETS * number + min(around >> 1, 3))
    seen[MAPS + 1] = NODES * (SETS * number + 4 + min(near >> 1, 3))


@_kernel(
    "int64(int64[::1], uint8[::1], int32[:, :, ::1], int32[:, :, ::1], int64, int64, int64, int32[:, :, ::1], int32[:, ::1], "
    "int16[::1], int32[::1], int32[::1], int64, int64)"
)
def code_channel(
    coder, buffer, planes, parents, number, c, top, maps, weights, stretch, squash, rates, rate, mode
):  # fmt: skip
    """Code a channel, written into `planes` where reading; returns its cost in 1/256 bit. LEARN writes nothing."""
    cost = np.zeros(1, np.int64)
    seen = np.zeros(MAPS + 2, np.int64)
    inputs = np.zeros(weights.shape[1] + 2, np.int32)
    inputs[MAPS] = 256
    for row in range(planes.shape[1] - 2 * MARGIN):
        for column in range(planes.shape[2] - 2 * MARGIN):
            see(seen, planes, parents, number, c, row, column)
            value = np.int64(planes[c, row + MARGIN, column + MARGIN])
            size, negative, found = abs(value), np.int64(value < 0), np.int64(0)
            for node in range(1 + top):
                bit = negative if node == 1 else np.int64(size > max(node - 1, 0))
                bit = put_mixed(coder, buffer, maps, weights, cost, seen, node, inputs, stretch, squash, rates, rate, bit, mode)
                if node == 1:
                    negative = bit
                elif bit:
                    found += 1
                else:
                    break
            planes[c, row + MARGIN, column + MARGIN] = -found if negative else found
    return cost[0]
