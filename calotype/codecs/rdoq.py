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
        from .rdoq_kernel import round_symbols  # numba is imported on first use

        self.kernel = round_symbols
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
        if which is None:
            which = np.zeros((len(residual), 1, 1), np.uint8)
        out = np.empty(residual.shape, np.int32)
        self.kernel(np.ascontiguousarray(residual), index, self.gap, self.price[step], which, self.skip, out)
        return out
