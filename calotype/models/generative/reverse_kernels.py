"""The loop of `reverse.choose`: products of a block's candidates with what it is to be shifted by."""

from __future__ import annotations

import numpy as np

from ...entropy.jit import kernel


@kernel("uint64(uint64)", inline=True)
def mixed(x):
    """As `noise`'s."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@kernel("uint64(uint64)", inline=True)
def counted(x):
    """Bits that are 1 in each 16."""
    x = x - ((x >> np.uint64(1)) & np.uint64(0x5555555555555555))
    x = (x & np.uint64(0x3333333333333333)) + ((x >> np.uint64(2)) & np.uint64(0x3333333333333333))
    x = (x + (x >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return (x + (x >> np.uint64(8))) & np.uint64(0x00FF00FF00FF00FF)


@kernel("void(uint64, int32[:, ::1], int64[::1])")
def products(key, shift, out):
    """shift: (4, n) within 2**15, so that four products with counts to 16 stay below 2**21; lane by lane. out[j]: the sum of
    shift times counts of candidate j."""
    low = np.uint64(255)
    for j in range(len(out)):
        start, total = mixed(key + np.uint64(j)), np.int64(0)
        for w in range(shift.shape[1]):
            x = counted(mixed(start ^ (np.uint64(w) * np.uint64(0xD1B54A32D192ED03))))
            first = shift[0, w] * np.int32(x & low) + shift[1, w] * np.int32((x >> np.uint64(16)) & low)
            other = shift[2, w] * np.int32((x >> np.uint64(32)) & low) + shift[3, w] * np.int32(x >> np.uint64(48))
            total += np.int64(np.int32(first + other))
        out[j] = total
