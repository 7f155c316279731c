"""The grids of latents of an overfitted picture: where they lie, in which order they are coded, what the prior of each sees.

    padded picture, sides multiples of 32 -> 5 levels, each with the orientations 0 (across), 1 (down), 2 (both), and one rest
    level 1: h/2 x w/2, ... level 5: h/32 x w/32; planes: brightness and two of colour

    order: the rest, then level 5 to 1; in a level plane by plane; in a plane orientation by orientation
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np

from .sizes import LEVELS, LOG_TOP, PAD, PLANES, REST


class Grid(NamedTuple):
    """plane 0..2; level 1 (fine) to LEVELS; orientation 0..3."""

    plane: int
    level: int
    orientation: int

    @property
    def net(self) -> int:
        """Which of the NETS priors codes it."""
        return 4 * self.plane + self.orientation

    def shape(self, height: int, width: int) -> tuple[int, int]:
        """(rows, columns) in a padded picture."""
        return height >> self.level, width >> self.level


@cache
def order() -> tuple[Grid, ...]:
    """All grids, as they are coded."""
    rest = [Grid(plane, LEVELS, REST) for plane in range(PLANES)]
    return (*rest, *(Grid(p, k, o) for k in range(LEVELS, 0, -1) for p in range(PLANES) for o in range(3)))



def others(grid: Grid) -> tuple[Grid | None, ...]:
    """The OTHERS grids that its prior sees; None where there is none."""
    plane, level, orientation = grid
    above = Grid(plane, level + 1, orientation) if level < LEVELS and orientation != REST else None
    first = Grid(plane, level, 0) if orientation in (1, 2) else None
    second = Grid(plane, level, 1) if orientation == 2 else None
    brightness = Grid(0, level, orientation) if plane else None
    colour = Grid(1, level, orientation) if plane == 2 else None
    return above, first, second, brightness, colour


def padded(height: int, width: int) -> tuple[int, int]:
    """Sides of a picture, next multiples of PAD."""
    return -(-height // PAD) * PAD, -(-width // PAD) * PAD


@cache
def log_table(trellis: bool = False) -> np.ndarray:
    """int32 (LOG_TOP + 1,): floor(16 log2(1 + n)), exact; of half steps, which a trellis has, floor(16 log2(1 + 5 n / 8))."""
    table, k = np.zeros(LOG_TOP + 1, np.int32), 0
    for n in range(LOG_TOP + 1):
        while ((8 + 5 * n) ** 16 >> 48 if trellis else (1 + n) ** 16) >> (k + 1):
            k += 1
        table[n] = k
    return table
