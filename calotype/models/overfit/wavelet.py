"""The transform between a picture's planes and its grids: lifting steps, floats for encoders, integers for decoders.

Source: Daubechies & Sweldens, "Factoring wavelet transforms into lifting steps" (1998): the 9/7 filters, here scaled so that
a uniform step is the right quantiser of every grid. It stands where Cool-chic learns an upsampling; its inverse is known, so
that a picture's latents need not be searched from nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from .layout import Grid, order
from .sizes import LEVELS, PLANES, REST

STEPS = (-1.586134342059924, -0.052980118572961, 0.882911075530934, 0.443506852043971)
SCALE = 1.149604398860241  # of the smooth half; the other's is its inverse
_LINE = 512  # samples; a multiple of 32


def analyse(planes: np.ndarray) -> list[np.ndarray]:
    """Planes float (3, H, W), sides multiples of PAD, to grids in the order of `layout.order`, float32."""
    grids: dict[Grid, np.ndarray] = {}
    for p in range(PLANES):
        grids |= analyse_plane(planes[p], p, 1)
    return [grids[g] for g in order()]


def analyse_plane(plane: np.ndarray, number: int, finest: int) -> dict[Grid, np.ndarray]:
    """The grids from level `finest` on of a plane float (H >> finest - 1, W >> finest - 1)."""
    grids, rest = {}, plane.astype(np.float32)
    for level in range(finest, LEVELS + 1):
        low, high = _split(rest, 1)
        (rest, down), (across, both) = _split(low, 0), _split(high, 0)
        for orientation, part in enumerate((across, down, both)):
            grids[Grid(number, level, orientation)] = np.ascontiguousarray(part)
    grids[Grid(number, LEVELS, REST)] = np.ascontiguousarray(rest)
    return grids


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


def curvatures(height: int, width: int, finest: Sequence[int] = (1,) * PLANES) -> list[np.ndarray]:
    """How much squared error a unit of squared error in a latent makes, (h, w) float32 a grid: about 1, up to 3 at edges.

    finest: level from which each plane has grids; others are of ones."""
    found = []
    for grid in order():
        level, past = grid.level - finest[grid.plane], finest[grid.plane] - 1
        if level < 0:
            found.append(np.ones(grid.shape(height, width), np.float32))
            continue
        (smooth_y, detail_y), (smooth_x, detail_x) = (_norms(side >> past, LEVELS - past)[level] for side in (height, width))
        down = smooth_y if grid.orientation in (0, REST) else detail_y
        across = smooth_x if grid.orientation in (1, REST) else detail_x
        found.append(np.outer(down, across).astype(np.float32))
    return found


@lru_cache(8)
def _norms(side: int, levels: int) -> list[tuple[np.ndarray, ...]]:
    """Squared norms, by level, of what a unit at each place of either half makes of a line of `side` samples."""
    if side > _LINE:  # far from its ends a line is the same everywhere
        more = [(side - _LINE) >> level for level in range(1, levels + 1)]
        return [tuple(_longer(n, m) for n in norms) for norms, m in zip(_norms(_LINE, levels), more, strict=True)]
    found, smooth = [], np.eye(side)
    for _ in range(levels):
        # columns of `smooth`: lines of this level's smooth half, in samples; merging is linear, so it is done on the left
        merge = _merging(smooth.shape[1])
        smooth, detail = smooth @ merge[0], smooth @ merge[1]
        found.append(((smooth**2).sum(0), (detail**2).sum(0)))
    return found


def _longer(norms: np.ndarray, more: int) -> np.ndarray:
    half = len(norms) // 2
    return np.concatenate([norms[:half], np.full(more, norms[half]), norms[half:]])


def _merging(side: int) -> tuple[np.ndarray, np.ndarray]:
    """(side, side / 2) matrices of the two halves of a line: the inverse of `_split`."""
    half = side // 2
    even = np.concatenate([np.eye(half), np.zeros((half, half))], 1)
    odd = np.concatenate([np.zeros((half, half)), np.eye(half)], 1)
    even, odd = even / SCALE, odd * -SCALE
    for k in (3, 1):
        even = even - STEPS[k] * (odd + _before(odd.T).T)
        odd = odd - STEPS[k - 1] * (even + _next(even.T).T)
    lines = np.empty((side, side))
    lines[::2], lines[1::2] = even, odd
    return lines[:, :half], lines[:, half:]
