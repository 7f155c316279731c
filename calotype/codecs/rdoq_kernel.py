"""The compiled loop of rdoq.py; a module of its own, as decoders never need it."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def round_symbols(
    residual: np.ndarray,
    index: np.ndarray,
    gap: np.ndarray,
    price: np.ndarray,
    which: np.ndarray,
    skip: int,
    out: np.ndarray,
) -> None:
    """out int32 = the integer below |residual|, or the one above where that pays; residual, index, out (G, R, w, C).

    gap (scale levels, top + 1) float32: bits of k + 1 over those of k; price (G, qualities, C) float32; which (G, R, w), or
    of one row and column where one quality holds everywhere.
    """
    groups, rows, columns, channels = residual.shape
    top = gap.shape[1] - 1
    varies = which.size > groups
    half, zero = np.float32(0.5), np.float32(0)
    for g in range(groups):
        for r in range(rows):
            for j in range(columns):
                quality = which[g, r, j] if varies else which[g, 0, 0]
                for c in range(channels):
                    level = index[g, r, j, c]
                    if level < skip:
                        out[g, r, j, c] = 0
                        continue
                    value = residual[g, r, j, c]
                    size = np.abs(value)
                    k = np.int32(size)
                    rest = size - np.float32(k)
                    if rest > half + gap[level, min(k, top)] * price[g, quality, c]:
                        k += 1
                    out[g, r, j, c] = k if value > zero else -k
