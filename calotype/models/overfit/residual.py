"""An inter frame's residual in grids of its planes, and what the prediction tells of it, in integers.

    prediction, doubt --splitting--> magnitudes in half steps |
                       latents of the frame before           -+-> what the temporal prior sees
    grids --gain--> coefficients --lifting--> planes in steps, + prediction -> 8-bit planes

Source: Leguay et al., "Cool-chic video" (arXiv 2402.03179) and Kim et al., "C3" (arXiv 2312.02753): latents of a frame fitted
to it, given motion-compensated frames. Different: motion is blocks, the residual's transform is fixed, and the entropy model,
which sees the prediction, learns as it goes from frame to frame instead of being sent.
Half-size chroma has no level 1: its planes are what luma's are after one level.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from functools import cache
from types import ModuleType
from typing import NamedTuple

import numpy as np

from ... import threads
from ..motion.field import SECOND, Field
from . import layout, loop
from .layout import Grid, order
from .sizes import GRIDS, LEVELS, LOG_TOP, MARGIN, PLANES, REST, TEMPORAL
from .synthesis import GAIN_UNIT, dequantised, merged

Planes = tuple[np.ndarray, np.ndarray, np.ndarray]
AROUND = ((-1, 0), (0, -1), (0, 1), (1, 0))
MODE_FEATURES = np.array([0, 64, 32, 192], np.uint8)  # by mode: of the first reference, the second, both, intra


class Form(NamedTuple):
    """How planes are coded. finest: the level from which each has grids; scales: of each, times levels; inverse: of these, in
    1/256; half_steps: these, in 1/512."""

    finest: tuple[int, ...]
    scales: tuple[float, ...]
    inverse: tuple[int, ...]
    half_steps: tuple[int, ...]


# Scales: about what a level of luma weighs in RGB; of chroma by trial. Of 4:4:4, 2.6 and 1.6 cost 1 % more than 2.
HALF = Form((1, 2, 2), (2.0, 2.6, 2.6), (128, 98, 98), (1024, 1331, 1331))
FULL = Form((1, 1, 1), (2.0, 2.0, 2.0), (128, 128, 128), (1024, 1024, 1024))


def form_of(planes: Sequence[np.ndarray]) -> Form:
    """HALF for 4:2:0, FULL for 4:4:4. planes: padded."""
    return FULL if planes[1].shape == planes[0].shape else HALF


def possible(form: Form = HALF) -> np.ndarray:
    """(GRIDS,) uint8: which grids an inter frame may have."""
    return np.array([grid.level >= form.finest[grid.plane] or grid.orientation == REST for grid in order()], np.uint8)


def split(planes: Sequence[np.ndarray]) -> dict[Grid, np.ndarray]:
    """Coefficients int64, in units of the samples, of padded integer planes."""
    k, form, found = _kernels(), form_of(planes), {}
    for p in range(PLANES):
        rest = planes[p].astype(np.int64)
        for level in range(form.finest[p], LEVELS + 1):
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
    base: Planes, doubt: Planes, before: list[np.ndarray] | None, step: int, motion: Motion | None = None, mixes: bool = False
) -> Callable[[int], np.ndarray]:
    """What a temporal prior sees of a grid, by its number: uint8 (2 TEMPORAL[0], h, w), centre and ring each of the prediction,
    the difference of its two references, both int16 in 1/32 level, and the latents of the frame before, where it has any.
    motion: the latents before are taken where it points to, and 2 features more tell of it. mixes: 2 more, of a prior that
    does, whose net does not see them: the prediction in finer steps; signs, as `mixing_kernels.sign_of`, of it and 3 times of
    the difference."""
    k, logs = _look(), layout.log_table()
    texture, half_steps = split(base), form_of(base).half_steps
    difference = split(doubt) if any(plane.any() for plane in doubt) else None

    @cache
    def seen(number: int) -> np.ndarray:
        grid = order()[number]
        h, w = texture[grid].shape
        out, signed = np.zeros((2 * TEMPORAL[motion is not None] + 2 * mixes, h, w), np.uint8), np.empty((h, w), np.int32)
        sources = [texture[grid], None if difference is None else difference[grid], None if before is None else before[number]]
        if motion:
            out[2 * TEMPORAL[0] : 2 * TEMPORAL[1]] = motion.told(grid.level, h, w)
            if before is not None:
                sources[2] = motion.moved(before[number], grid.level)
        for i, source in enumerate(sources):
            if source is None or grid.orientation == REST and i == 0:
                continue
            size = np.abs(source.astype(np.int64))
            if mixes and i == 0:
                out[-2] = logs[np.minimum((size * half_steps[grid.plane]) // (32 * step), LOG_TOP)]  # eighths of a step
            if i < 2:  # of 1/32 level, a step is in 1/64
                size = (size * half_steps[grid.plane]) // (128 * step)
            wide = np.zeros((h + 2 * MARGIN, w + 2 * MARGIN), np.int32)
            wide[MARGIN:-MARGIN, MARGIN:-MARGIN] = np.minimum(size, LOG_TOP)
            k.look(wide, logs, 0, out[2 * i], out[2 * i + 1], signed)
            if mixes and i < 2:
                out[-1] += (3**i * ((source > 0) + 2 * (source < 0))).astype(np.uint8)
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
    parts, form = dequantised(grids, np.full(GRIDS, GAIN_UNIT), np.zeros(GRIDS, int)), form_of(base)

    def plane(p: int) -> np.ndarray:
        out = np.empty(base[p].shape, np.int16)
        _kernels().add(merged(parts, p, form.finest[p]), base[p], unit(p, step, form), out)
        return out

    return _of_planes(plane)


def unit(plane: int, step: int, form: Form = HALF) -> int:
    """A step in what a plane's samples are, 1/4096 of 1/32 level."""
    return step * form.inverse[plane]


def show(planes: Planes, base: Planes, step: int, weights: np.ndarray | None, strengths: tuple[int, int]) -> Planes:
    """8-bit planes of those of `synthesise`. weights: of `loop`, where the model has a filter; strengths: of Y, of U and V."""
    form = form_of(base)

    def plane(p: int) -> np.ndarray:
        strength = strengths[p > 0]
        more = loop.corrections(planes[p], base[p], unit(p, step, form), weights[min(p, 1)]) if strength else None
        return loop.shown(planes[p], more, strength)

    return _of_planes(plane)


def _of_planes(work: Callable[[int], np.ndarray]) -> Planes:
    y, u, v = threads.side_by_side(work, range(PLANES))
    return y, u, v


def filtered(planes: Planes, base: Planes, step: int, weights: np.ndarray, wanted: Planes) -> tuple[tuple[int, int], Planes]:
    """Strengths of least error, and `show` at them. wanted: 8-bit."""
    form = form_of(base)
    more = [loop.corrections(plane, base[p], unit(p, step, form), weights[min(p, 1)]) for p, plane in enumerate(planes)]
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
