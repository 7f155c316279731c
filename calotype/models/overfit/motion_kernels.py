"""The compiled loop of motioncoding.py: symbols of motion through mixed contexts and the binary coder. All integer arithmetic.

Bounds: as of mixing_kernels.py, whose mixing this runs.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from zlib import crc32

import numpy as np

from calotype.entropy import binary, jit
from calotype.models.overfit import mixing_kernels, prior_kernels
from calotype.models.overfit.prior_kernels import digits, put_mixed

_parts = b"".join(Path(part.__file__).read_bytes() for part in (binary, mixing_kernels, prior_kernels))
_kernel = partial(jit.kernel, tag=f"{crc32(_parts):08x}")

INTRA, MODE, VECTOR = range(3)
# nodes: of an intra block one; of a mode two; of a difference whether it is 0, its sign, its number of digits in unary, then by
# that number the digit below the leading one, then all others
DIGITS = 2
HIGH = DIGITS + 12
REST = HIGH + 12
NODES = REST + 1
MOST = 12  # digits of a difference at most: fewer than 2^12
BYTES_A_BLOCK = 512  # room for the longest: four differences of 25 bits and three more, at most 4 bytes each


@_kernel(
    "int64(int64[::1], uint8[::1], int32[:, :, ::1], int32[:, ::1], int64[::1], int64[::1], int64, int32[::1], int16[::1], "
    "int32[::1], int32[::1], int64, int64, int64)"
)
def put(coder, buffer, maps, weights, cost, seen, node, inputs, stretch, squash, rates, rate, bit, mode):
    """`put_mixed`, once for all its places here."""
    return put_mixed(coder, buffer, maps, weights, cost, seen, node, inputs, stretch, squash, rates, rate, bit, mode)


@_kernel(
    "int64(int64[::1], uint8[::1], int64, int64, int32[::1], int64[:, ::1], int32[:, :, ::1], int32[:, ::1], int16[::1], "
    "int32[::1], int32[::1], int64)"
)
def code_symbols(coder, buffer, mode, kind, symbols, seen, maps, weights, stretch, squash, rates, rate):
    """Code symbols, int32 (n,), of a kind, written where decoding; returns their cost in 1/256 bit.

    seen: (n, maps + 2), as of `mixing_kernels.mix`.
    """
    cost = np.zeros(1, np.int64)
    inputs = np.zeros(weights.shape[1] + 2, np.int32)
    inputs[seen.shape[1] - 2] = 256
    for i in range(len(symbols)):
        at, v = seen[i], np.int64(symbols[i])
        if kind == INTRA:
            symbols[i] = put(coder, buffer, maps, weights, cost, at, 0, inputs, stretch, squash, rates, rate, v, mode)
            continue
        if kind == MODE:
            both = np.int64(v == 2)
            if put(coder, buffer, maps, weights, cost, at, 0, inputs, stretch, squash, rates, rate, both, mode):
                symbols[i] = 2
            else:
                symbols[i] = put(coder, buffer, maps, weights, cost, at, 1, inputs, stretch, squash, rates, rate, v, mode)
            continue
        some = np.int64(v != 0)
        if not put(coder, buffer, maps, weights, cost, at, 0, inputs, stretch, squash, rates, rate, some, mode):
            symbols[i] = 0
            continue
        sign = np.int64(v < 0)
        sign = put(coder, buffer, maps, weights, cost, at, 1, inputs, stretch, squash, rates, rate, sign, mode)
        size = abs(v)
        many, count = digits(size), np.int64(1)
        while count < MOST and put(
            *(coder, buffer, maps, weights, cost, at, DIGITS + count - 1, inputs, stretch, squash, rates, rate),
            *(np.int64(count < many), mode),
        ):
            count += 1
        found = np.int64(1)
        for k in range(count - 2, -1, -1):
            node = HIGH + count - 2 if k == count - 2 else REST
            bit = (size >> k) & 1
            bit = put(coder, buffer, maps, weights, cost, at, node, inputs, stretch, squash, rates, rate, bit, mode)
            found = (found << 1) | bit
        symbols[i] = -found if sign else found
    return cost[0]
