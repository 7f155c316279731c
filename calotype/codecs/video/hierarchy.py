"""How far the qualities within an adaptive structure lie apart.

What is spent on a good frame lasts as long as the frames after it repeat it: x264's macroblock tree asks that of each block,
looking ahead. Here it is one number a frame, of the frames so far, from what scheduling measures anyway: the difference
that motion leaves between thumbnails, against the frame's own gradients.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from .scenes import cell_side

LEAST, MOST = 0.25, 4.0  # of a structure's offsets
# By trial on eight training and held-out clips, some of them at 176x144 too. Gradients shrink as pictures grow, so the
# difference is taken over gradients and a power of the thumbnail's cell.
SHRINKING = 0.55
EVEN = 0.165  # where offsets are taken as they are
GROWTH = 2.5  # of the offsets, an octave below that
MOVING = 1.9  # below that, a hierarchy over time took 7 to 34 % more bits than one frame after the other; above, 7 to 17 fewer
MEMORY = 8  # frames


def is_moving(spreads: Sequence[float]) -> bool:
    """Whether the frames of a mini GOP tell little of each other."""
    return sum(spreads) < MOVING * len(spreads)


class Spread:
    """Asked for every frame in display order: by what the structure's offsets are multiplied there."""

    def __init__(self, width: int, height: int) -> None:
        """width, height: of the clip, in pixels."""
        self.octaves: float | None = None
        self.even = EVEN * cell_side(height, width) ** SHRINKING

    def __call__(self, inter: float, alone: float, begins: bool) -> float:
        """inter, alone: as `scenes.complexity` has them, with and without the frame before; begins: a scene, of which nothing
        is known yet."""
        if begins:
            self.octaves = None
            return 1.0
        octaves = math.log2(inter / alone)
        self.octaves = octaves if self.octaves is None else self.octaves + (octaves - self.octaves) / MEMORY
        return min(max(1 - GROWTH * (self.octaves - math.log2(self.even)), LEAST), MOST)
