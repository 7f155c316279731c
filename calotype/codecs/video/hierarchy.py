"""How far the qualities within an adaptive structure lie apart.

What is spent on a good frame lasts as long as the frames after it repeat it: x264's macroblock tree asks that of each block,
looking ahead. Here it is one number a frame, of the frames so far, from what scheduling measures anyway: the difference
that motion leaves between thumbnails, against the frame's own gradients.
"""

from __future__ import annotations

import math

LEAST, MOST = 0.25, 4.0  # of a structure's offsets
EVEN = 0.5  # difference over gradients at which offsets are taken as they are
GROWTH = 1.75  # of the offsets, an octave below that
MEMORY = 8  # frames


class Spread:
    """Asked for every frame in display order: by what the structure's offsets are multiplied there."""

    def __init__(self) -> None:
        self.octaves: float | None = None

    def __call__(self, inter: float, alone: float, begins: bool) -> float:
        """inter, alone: as `scenes.complexity` has them, with and without the frame before; begins: a scene, of which nothing
        is known yet."""
        if begins:
            self.octaves = None
            return 1.0
        octaves = math.log2(inter / alone)
        self.octaves = octaves if self.octaves is None else self.octaves + (octaves - self.octaves) / MEMORY
        return min(max(1 - GROWTH * (self.octaves - math.log2(EVEN)), LEAST), MOST)
