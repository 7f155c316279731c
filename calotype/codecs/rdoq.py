"""Rate-distortion optimised rounding, one symbol at a time, on the encoder's side only.

Of the two integers around a residual, take the smaller one unless the error it saves is worth the bits that the larger one
costs more: D + R / lmbda, as JPEG 2000's and HEVC's encoders do. The decoder does not know.
"""

from __future__ import annotations

import numpy as np

from ..entropy import TableBank
from ..models.plans import Plan

TOP = 15  # above this magnitude, neighbouring symbols cost the same: plain rounding
# Share of the price that is paid, since later symbols lean on these: best of {0, 0.6, 1, 1.4} in rate + lmbda MSE on
# held-out photos.
CAUTION = 0.7


class Rounder:
    """Rounds residuals for one model and the qualities of one picture.

    bank: the frozen tables; worth: (levels, M) bits that a squared error of one step is worth in each channel at each
    quality; plan: which channels a step codes; skip: scale indices below it give 0, always.
    """

    def __init__(self, bank: TableBank, worth: np.ndarray, plan: Plan, skip: int):
        levels, k = len(bank), np.arange(TOP + 2)
        bits = bank.bits(np.tile(k, levels), np.repeat(np.arange(levels), len(k))).reshape(levels, -1)
        gap = np.maximum(np.diff(bits, axis=1), 0)
        gap[:, TOP] = 0
        self.gap = gap.astype(np.float32)  # (levels, TOP + 1): bits of k + 1 over those of k
        half = (0.5 * CAUTION / np.maximum(worth, 1e-9)).astype(np.float32)
        self.price = [np.stack([half[:, plan.channels(g)] for g, _ in step]) for step in plan.steps]  # (G, levels, C) each
        self.skip = skip

    def __call__(self, residual: np.ndarray, index: np.ndarray, step: int, which: np.ndarray | None) -> np.ndarray:
        """residual float32 and scale index of a step, (G, R, w/2, C) -> int32 symbols. which: number of the quality of each
        place, (G, R, w/2), or None where there is one."""
        price = self.price[step]
        if which is None:
            paid = price[:, :1, None]
        else:
            paid = np.stack([p[w] for p, w in zip(price, which, strict=True)])
        size = np.abs(residual)
        floor = np.floor(size)
        k = np.minimum(floor, TOP).astype(np.int64)
        symbol = floor + (size - floor > 0.5 + self.gap[index, k] * paid)
        symbol[index < self.skip] = 0
        return np.copysign(symbol, residual).astype(np.int32)
