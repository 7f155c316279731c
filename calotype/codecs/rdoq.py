"""Rate-distortion optimised rounding, one symbol at a time, on the encoder's side only.

Of the two integers around a residual, take the smaller one unless the error it saves is worth the bits that the larger one
costs more: D + R / lmbda, as JPEG 2000's and HEVC's encoders do. The decoder does not know.
"""

from __future__ import annotations

import numpy as np

from ..entropy import TableBank

TOP = 15  # above this magnitude, neighbouring symbols cost the same: plain rounding
# Share of the price that is paid, since later symbols lean on these: best of {0, 0.6, 1, 1.4} in rate + lmbda MSE on
# held-out photos.
CAUTION = 0.7


class Rounder:
    """Rounds residuals for one model and quality.

    bank: the frozen tables; worth: (M,) bits that a squared error of one step is worth in each channel; skip: scale
    indices below it give 0, always.
    """

    def __init__(self, bank: TableBank, worth: np.ndarray, skip: int):
        levels, k = len(bank), np.arange(TOP + 2)
        bits = bank.bits(np.tile(k, levels), np.repeat(np.arange(levels), len(k))).reshape(levels, -1)
        gap = np.maximum(np.diff(bits, axis=1), 0)
        gap[:, TOP] = 0
        self.gap = gap.astype(np.float32)  # (levels, TOP + 1): bits of k + 1 over those of k
        half = (0.5 * CAUTION / np.maximum(worth, 1e-9)).astype(np.float32)
        self.price = np.ascontiguousarray(half.reshape(-1, 4).T)[:, None, None]  # (4 groups, 1, 1, M/4)
        self.skip = skip

    def __call__(self, residual: np.ndarray, index: np.ndarray) -> np.ndarray:
        """residual float32 and scale index, (4, h, w, M/4) by channel group -> int32 symbols."""
        size = np.abs(residual)
        floor = np.floor(size)
        k = np.minimum(floor, TOP).astype(np.int64)
        symbol = floor + (size - floor > 0.5 + self.gap[index, k] * self.price)
        symbol[index < self.skip] = 0
        return np.copysign(symbol, residual).astype(np.int32)
