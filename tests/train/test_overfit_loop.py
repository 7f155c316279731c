"""The filter of overfitted clips' frames: least squares find the filter that frames were made with."""

from __future__ import annotations

import numpy as np

from calotype.models.overfit import loop, residual
from calotype.models.overfit.sizes import LOOP_FRACTION, TAPS
from calotype.train.overfitvideo import LoopFit

STEP = 640


def planes(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """int16, rough, in 1/32 level."""
    rng = np.random.default_rng(seed)
    a, b, c = (rng.normal(0, 700, shape).astype(np.int16) for shape in ((96, 96), (48, 48), (48, 48)))
    return a, b, c


def test_the_filter_that_frames_were_made_with_is_found() -> None:
    made, fit = np.zeros(loop.SHAPE, np.int32), LoopFit()
    made[0, :, TAPS.index((0, 1))] = made[1, :, TAPS.index((1, 0))] = (1 << LOOP_FRACTION) // 8
    base = tuple(np.zeros_like(p) for p in planes(0))
    for seed in range(3):
        wide = planes(seed)
        fit.add(wide, base, STEP, residual.show(wide, base, STEP, made, (8, 8)))
    found, other = fit.solved(), planes(9)
    seen = np.abs(found).max(-1) > 0
    assert seen.any(1).all() and np.abs(found - made)[seen].max() < 0.01 * (1 << LOOP_FRACTION)
    strengths, shown = residual.filtered(other, base, STEP, found, residual.show(other, base, STEP, made, (8, 8)))
    assert strengths == (8, 8)
    wanted = residual.show(other, base, STEP, made, (8, 8))
    assert all(np.abs(a.astype(int) - b).max() <= 1 for a, b in zip(shown, wanted, strict=True))
