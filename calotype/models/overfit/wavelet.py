"""The transform between a picture's planes and its grids: lifting steps, floats for encoders, integers for decoders.

Source: Daubechies & Sweldens, "Factoring wavelet transforms into lifting steps" (1998): the 9/7 filters, here scaled so that a
uniform step is the right quantiser of every grid. In the terms of Cool-chic it is the learned upsampling, whose inverse is known,
so that a picture's latents need not be searched from nothing.
"""

from __future__ import annotations

import numpy as np

from .layout import LEVELS, PLANES, REST, Grid, order

STEPS = (-1.586134342059924, -0.052980118572961, 0.882911075530934, 0.443506852043971)
SCALE = 1.149604398860241  # of the smooth half; the other's is its inverse
FRACTION = 14  # bits of the integers that stand for them


def analyse(planes: np.ndarray) -> list[np.ndarray]:
    """Planes float (3, H, W), sides multiples of PAD, to grids in the order of `layout.order`, float32."""
    grids: dict[Grid, np.ndarray] = {}
    rest = planes.astype(np.float32)
    for level in range(1, LEVELS + 1):
        low, high = _split(rest, 2)
        (rest, down), (across, both) = _split(low, 1), _split(high, 1)
        for p in range(PLANES):
            for orientation, part in enumerate((across, down, both)):
                grids[Grid(p, level, orientation)] = part[p]
    for p in range(PLANES):
        grids[Grid(p, LEVELS, REST)] = rest[p]
    return [np.ascontiguousarray(grids[g]) for g in order()]


def _split(x: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """(smooth, rest) halves along an axis of even length."""
    x = np.moveaxis(x, axis, -1)
    even, odd = x[..., ::2].copy(), x[..., 1::2].copy()
    odd += STEPS[0] * (even + _next(even))
    even += STEPS[1] * (odd + _before(odd))
    odd += STEPS[2] * (even + _next(even))
    even += STEPS[3] * (odd + _before(odd))
    even *= SCALE
    odd *= -1 / SCALE
    return np.moveaxis(even, -1, axis), np.moveaxis(odd, -1, axis)


def _next(x: np.ndarray) -> np.ndarray:
    return np.concatenate([x[..., 1:], x[..., -1:]], -1)


def _before(x: np.ndarray) -> np.ndarray:
    return np.concatenate([x[..., :1], x[..., :-1]], -1)
