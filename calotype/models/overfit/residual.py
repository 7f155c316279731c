"""An inter frame's residual in grids of 4:2:0 planes, and what the prediction tells of it, in integers.

    prediction, doubt --splitting--> magnitudes in half steps |
                       latents of the frame before           -+-> what the temporal prior sees
    grids --gain--> coefficients --lifting--> planes in steps, + prediction -> 8-bit planes

Source: Leguay et al., "Cool-chic video" (arXiv 2402.03179) and Kim et al., "C3" (arXiv 2312.02753): latents of a frame fitted
to it, given motion-compensated frames. Different: motion is blocks, the residual's transform is fixed, and the entropy model,
which sees the prediction, learns as it goes from frame to frame instead of being sent.
Chroma has no level 1: its planes are what luma's are after one level.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from functools import cache
from types import ModuleType

import numpy as np

from ..motion.field import SECOND, Field
from . import layout, loop
from .layout import Grid, order
from .sizes import GRIDS, LEVELS, LOG_TOP, MARGIN, PLANES, REST, TEMPORAL
from .synthesis import GAIN_UNIT, dequantised, merged

Planes = tuple[np.ndarray, np.ndarray, np.ndarray]
SCALES = (2.0, 2.6, 2.6)  # of planes in levels: about what a level of luma weighs in RGB; chroma by trial
_INVERSE = (128, 98, 98)  # in 1/256
_HALF_STEPS = (1024, 1331, 1331)  # scales, in 1/512
AROUND = ((-1, 0), (0, -1), (0, 1), (1, 0))
MODE_FEATURES = np.array([0, 64, 32, 192], np.uint8)  # by mode: of the first reference, the second, both, intra


def finest(plane: int) -> int:
    """The level from which a plane has grids."""
    return 2 if plane else 1


def possible() -> np.ndarray:
    """(GRIDS,) uint8: which grids an inter frame may have."""
    return np.array([grid.level >= finest(grid.plane) or grid.orientation == REST for grid in order()], np.uint8)


def split(planes: Sequence[np.ndarray]) -> dict[Grid, np.ndarray]:
    """Coefficients int64, in units of the samples, of integer planes of 4:2:0."""
    k, found = _kernels(), {}
    for p in range(PLANES):
        rest = planes[p].astype(np.int64)
        for level in range(finest(p), LEVELS + 1):
            h, w = rest.shape
            low, high = np.empty((h, w // 2), np.int64), np.empty((h, w // 2), np.int64)
            k.split_across(rest, low, high)
            parts = [np.empty((h // 2, w // 2), np.int64) for _ in range(4)]
            k.split_down(low, parts[3], parts[1])
            k.split_down(high, parts[0], parts[2])
            for orientation in range(3):
                found[Grid(p, level, orientation)] = parts[orientation]
            rest = parts[3]
        found[Grid(p, LEVELS, REST)] = rest
    return found


def context(
    base: Planes, doubt: Planes, before: list[np.ndarray] | None, step: int, motion: Motion | None = None
) -> Callable[[int], np.ndarray]:
    """What a temporal prior sees of a grid, by its number: uint8 (2 TEMPORAL[0], h, w), centre and ring each of the prediction,
    the difference of its two references, both int16 in 1/32 level, and the latents of the frame before, where it has any.
    motion: the latents before are taken where it points to, and 2 features more tell of it."""
    k, logs = _look(), layout.log_table()
    texture = split(base)
    difference = split(doubt) if any(plane.any() for plane in doubt) else None

    @cache
    def seen(number: int) -> np.ndarray:
        grid = order()[number]
        h, w = texture[grid].shape
        out, signed = np.zeros((2 * TEMPORAL[motion is not None], h, w), np.uint8), np.empty((h, w), np.int32)
        sources = [texture[grid], None if difference is None else difference[grid], None if before is None else before[number]]
        if motion:
            out[2 * TEMPORAL[0] :] = motion.told(grid.level, h, w)
            if before is not None:
                sources[2] = motion.moved(before[number], grid.level)
        for i, source in enumerate(sources):
            if source is None or grid.orientation == REST and i == 0:
                continue
            size = np.abs(source.astype(np.int64))
            if i < 2:  # of 1/32 level, a step is in 1/64
                size = (size * _HALF_STEPS[grid.plane]) // (128 * step)
            wide = np.zeros((h + 2 * MARGIN, w + 2 * MARGIN), np.int32)
            wide[MARGIN:-MARGIN, MARGIN:-MARGIN] = np.minimum(size, LOG_TOP)
            k.look(wide, logs, 0, out[2 * i], out[2 * i + 1], signed)
        return out

    return seen


class Motion:
    """A frame's motion as its prior sees it, at the places of a grid."""

    def __init__(self, field: Field, reference: int):
        """reference: whose latents, 0 or 1, are moved."""
        self.shift = field.block.bit_length() - 1
        self.vectors = field.vectors[reference].astype(np.int64)
        own = np.where((field.mode == SECOND)[..., None], field.vectors[1], field.vectors[0]).astype(np.int64)
        wide = np.pad(own, ((1, 1), (1, 1), (0, 0)), mode="edge")
        apart = [np.abs(wide[1 + y : wide.shape[0] - 1 + y, 1 + x : wide.shape[1] - 1 + x] - own).sum(2) for y, x in AROUND]
        broken = layout.log_table()[np.minimum(np.max(apart, 0), LOG_TOP)]
        self.features = np.stack([broken, MODE_FEATURES[field.mode]]).astype(np.uint8)

    def told(self, level: int, h: int, w: int) -> np.ndarray:
        """uint8 (2, h, w): how far the block's vector is from a neighbour's, and its mode."""
        rows, columns = self._blocks(level, h, w)
        return self.features[:, rows[:, None], columns]

    def moved(self, values: np.ndarray, level: int) -> np.ndarray:
        """A grid of the reference, each place from where its block's vector points to, in whole places, held within it."""
        h, w = values.shape
        rows, columns = self._blocks(level, h, w)
        by = (self.vectors[rows[:, None], columns] + (2 << level)) >> (2 + level)
        y = np.clip(np.arange(h)[:, None] + by[..., 0], 0, h - 1)
        return values[y, np.clip(np.arange(w) + by[..., 1], 0, w - 1)]

    def _blocks(self, level: int, h: int, w: int) -> tuple[np.ndarray, np.ndarray]:
        return (np.arange(h) << level) >> self.shift, (np.arange(w) << level) >> self.shift


def synthesise(grids: list[np.ndarray], base: Planes, step: int) -> Planes:
    """Planes of latents (GRIDS,) and the prediction, both of it and of them int16 in 1/32 level around 128."""
    parts, planes = dequantised(grids, np.full(GRIDS, GAIN_UNIT), np.zeros(GRIDS, int)), []
    for p in range(PLANES):
        out = np.empty(base[p].shape, np.int16)
        _kernels().add(merged(parts, p, finest(p)), base[p], unit(p, step), out)
        planes.append(out)
    return planes[0], planes[1], planes[2]


def unit(plane: int, step: int) -> int:
    """A step in what a plane's samples are, 1/4096 of 1/32 level."""
    return step * _INVERSE[plane]


def show(planes: Planes, base: Planes, step: int, weights: np.ndarray | None, strengths: tuple[int, int]) -> Planes:
    """8-bit planes of those of `synthesise`. weights: of `loop`, where the model has a filter; strengths: of Y, of U and V."""
    out = []
    for p, plane in enumerate(planes):
        strength = strengths[p > 0]
        more = loop.corrections(plane, base[p], unit(p, step), weights[min(p, 1)]) if strength else None
        out.append(loop.shown(plane, more, strength))
    return out[0], out[1], out[2]


def filtered(planes: Planes, base: Planes, step: int, weights: np.ndarray, wanted: Planes) -> tuple[tuple[int, int], Planes]:
    """Strengths of least error, and `show` at them. wanted: 8-bit."""
    more = [loop.corrections(plane, base[p], unit(p, step), weights[min(p, 1)]) for p, plane in enumerate(planes)]
    strengths = loop.best(wanted[:1], planes[:1], more[:1]), loop.best(wanted[1:], planes[1:], more[1:])
    out = [loop.shown(plane, by, strengths[p > 0]) for p, (plane, by) in enumerate(zip(planes, more, strict=True))]
    return strengths, (out[0], out[1], out[2])


def empty(height: int, width: int) -> list[np.ndarray]:
    """All latents of a frame, zero; height, width: of padded luma."""
    return [np.zeros(grid.shape(height, width), np.int32) for grid in order()]


@cache
def _kernels() -> ModuleType:
    """The compiled loops; numba is imported here, at the first use."""
    return importlib.import_module("calotype.models.overfit.synthesis_kernels")


@cache
def _look() -> ModuleType:
    return importlib.import_module("calotype.models.overfit.prior_kernels")
