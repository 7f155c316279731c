"""Overlapped block motion compensation in exact integers (docs/FORMAT.md).

All shifts `>>` round down.

1. References are uint8, and repeat their edges without end. A block's vector (v, u) points at (y + v / 4, x + u / 4) of luma
   and (y + v / 8, x + u / 8) of chroma. Whole parts are v >> 2 (luma) and v >> 3; the phases are v & 3 and v & 7. Chroma of
   luma's size is in all as luma.
2. The horizontal filter of the phase of u (LUMA or CHROMA; gain 64; tap k weighs the pixel k - 3 to the right), then the
   vertical one of the phase of v on its results, then p = (s + 64) >> 7, held within 0..8160: 1/32 of a level.
3. A block of side B (luma: 8, 16 or 32; chroma: half of that) weighs on 2 B x 2 B pixels around its centre, at (i, j) of them
   by w(i) w(j), w(i) = min(2 i + 1, 4 B - 2 i - 1); where a neighbour lies outside the field, the block at the edge stands in
   for it, so that weights sum to (2 B)**2 at every pixel.
4. base = ((sum of weight * t + 4 B**2) >> (log2(4 B**2) + 1)) - 4096, where t is 2 p of the block's one reference, the
   sum of both p, or 8192 of an intra block: -4096..4064. difference = (sum of weight * d + 2 B**2) >> log2(4 B**2), where d is
   p of the first reference minus p of the second, and 0 for a block that has not both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial

import numpy as np

from ... import threads
from ...errors import UsageError
from .field import BOTH, SECOND, Field, Planes, field_shape

LEAST = 1 << 14  # samples of a plane that are worth a second thread

Int16Planes = tuple[np.ndarray, np.ndarray, np.ndarray]

# HEVC's interpolation filters (ITU-T H.265, 8.5.3.3.3), by phase; chroma's four taps stand in the middle of eight.
LUMA = np.array(
    [
        [0, 0, 0, 64, 0, 0, 0, 0],
        [-1, 4, -10, 58, 17, -5, 1, 0],
        [-1, 4, -11, 40, 40, -11, 4, -1],
        [0, 1, -5, 17, 58, -10, 4, -1],
    ],
    np.int16,
)
_CHROMA_TAPS = [(0, 64, 0, 0), (-2, 58, 10, -2), (-4, 54, 16, -2), (-6, 46, 28, -4), (-4, 36, 36, -4)]
_CHROMA_TAPS += [taps[::-1] for taps in _CHROMA_TAPS[3:0:-1]]
CHROMA = np.array([(0, 0, *taps, 0, 0) for taps in _CHROMA_TAPS], np.int16)


def compensate(references: Sequence[Planes], field: Field) -> tuple[Int16Planes, Int16Planes]:
    """(base, difference) of a field: int16 planes of the references' shapes, in 1/32 of an 8-bit level.

    references: one or two pictures, the first and the second of the field's modes; padded planes: luma sides multiples of 32,
    chroma of the same or exactly half. base is centred, -4096..4064 for 0..255; difference is first minus second, 0 where not
    both are used. Raises UsageError where the field does not fit the references.
    """
    _check(references, field)
    bases, differences = [], []
    for plane in range(3):
        first = extended(references[0][plane])
        second = extended(references[-1][plane]) if len(references) > 1 else first
        base, difference = (np.empty(references[0][plane].shape, np.int16) for _ in range(2))
        halved = base.shape != references[0][0].shape
        _share(partial(compensate_plane, first, second, field, halved, base, difference), field.shape[0] + 1, base.size)
        bases.append(base)
        differences.append(difference)
    return (bases[0], bases[1], bases[2]), (differences[0], differences[1], differences[2])


def _share(run: Callable[[int, int], None], rows: int, samples: int) -> None:
    """run(start, end) over all rows, on all threads where that is worth it."""
    parts = min(threads.count(), max(1, samples // LEAST), rows)
    if parts == 1:
        run(0, rows)
        return
    from ..integer.team import team

    team(parts - 1).run(run, [rows * (k + 1) // parts for k in range(parts)])


def extended(plane: np.ndarray) -> np.ndarray:
    """A plane with the margin of repeated edges that the kernels read."""
    from . import kernels

    out = np.empty((plane.shape[0] + 2 * kernels.MARGIN, plane.shape[1] + 2 * kernels.MARGIN), np.uint8)
    kernels.extend(np.ascontiguousarray(plane), out)
    return out


@cache
def weights(block: int) -> np.ndarray:
    """int32 (16, B, B): over a cell, the summed weights of each set of its four blocks (bit 1 right, bit 2 lower)."""
    near = 2 * np.arange(block, dtype=np.int32) + 1
    line = np.stack([near[::-1], near])
    each = np.stack([np.outer(line[k >> 1], line[k & 1]) for k in range(4)])
    return np.stack([sum((each[k] for k in range(4) if members >> k & 1), np.zeros_like(each[0])) for members in range(16)])


def compensate_plane(
    first: np.ndarray,
    second: np.ndarray,
    field: Field,
    halved: bool,
    base: np.ndarray,
    difference: np.ndarray,
    start: int,
    end: int,
) -> None:
    """Rows of cells of one plane, start to end of field rows + 1; the rows do not depend on each other. halved: of
    chroma of half luma's size."""
    from . import kernels

    block = field.block // 2 if halved else field.block
    rows, scratch = np.empty((block + 7, block), np.int16), np.empty((4, block, block), np.int32)
    filters, bits = (CHROMA, 3) if halved else (LUMA, 2)
    kernels.compensate_cells(
        *(first, second, field.mode, field.vectors, filters, bits, weights(block)),
        *(block, start, end, rows, scratch, base, difference),
    )


def _check(references: Sequence[Planes], field: Field) -> None:
    if len(references) not in (1, 2):
        raise UsageError(f"{len(references)} reference pictures: a field has one or two")
    height, width = whole = references[0][0].shape
    chroma = whole if references[0][1].shape == whole else (height // 2, width // 2)
    for planes in references:
        for plane, shape in zip(planes, (whole, chroma, chroma), strict=True):
            if plane.dtype != np.uint8 or plane.shape != shape:
                raise UsageError(f"a reference's plane is {plane.dtype} {plane.shape}, not uint8 {shape}: pad all alike")
    if height % 32 or width % 32 or field.shape != field_shape(height, width, field.block):
        raise UsageError(f"a field of {field.shape} blocks of {field.block} does not fit planes of {height} x {width}")
    if len(references) == 1 and ((field.mode == SECOND) | (field.mode == BOTH)).any():
        raise UsageError("a block's mode names a reference that there is not")
