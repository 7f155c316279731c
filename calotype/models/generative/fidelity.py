"""What brings a generative picture nearer to its source: small symmetric filters by class, the more the less real it is to be.

    m, enlarged -> class of each sample: activity, direction -> share * (its class's weights . differences to 24 around)

Source: the classes and Wiener filters are those of models/overfit/loop.py (Tsai et al., "Adaptive Loop Filtering for Video
Coding", IEEE J-STSP 2013), without the change of a prediction. Here they are solved over photos, for what the net leaves at
realism 0, by scale and by quality: `scripts/train_fidelity.py`. A share of them is left at realism 1, as the distance between
features gains by it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..overfit import loop
from ..overfit.sizes import CHANGES, LOOP_FRACTION, TAPS
from .dial import QUALITIES, SCALES, Coded

RANGES = 3  # of the image model's quality, of equal length
OF_NO_CHANGE = len(CHANGES) + 1  # every so many classes of `loop` one is of samples that are as predicted
SHAPE = (SCALES, RANGES, loop.CLASSES // OF_NO_CHANGE, len(TAPS))
UNIT = 393_216  # in the place of the step: 25 second differences each way of 60 to 1,200 levels together bound activities
LEVEL = 32  # units a level of 8 bits


class Filters(NamedTuple):
    """weights: int16 of SHAPE; rest: uint8 (SCALES,), hundredths that are left at realism 1."""

    weights: np.ndarray
    rest: np.ndarray

    def checked(self) -> Filters:
        """Itself. Raises ValueError where it has another shape or more is left than there is."""
        shapes = (self.weights.shape, self.weights.dtype, self.rest.shape, self.rest.dtype)
        if shapes != (SHAPE, np.int16, (SCALES,), np.uint8) or self.rest.max() > 100:
            raise ValueError("the filters are none")
        return self

    def share(self, how: Coded, realism: float) -> float:
        """How much of the corrections is added."""
        rest = int(self.rest[how.scale - 1]) / 100
        return rest + (1 - rest) * (1 - realism)

    def corrections(self, picture: np.ndarray, how: Coded) -> np.ndarray:
        """picture: (3, h, w) in 0..1, as of `corrections`."""
        return corrections(picture, self.weights[place_of(how)])


def place_of(how: Coded) -> tuple[int, int]:
    """Whose weights are used: index of scale and range of quality."""
    return how.scale - 1, how.quality * RANGES // (QUALITIES + 1)


def plane_of(samples: np.ndarray) -> np.ndarray:
    """0..1, float, as the filter sees it: int16 in 1/32 level around 128."""
    return np.ascontiguousarray(np.rint((samples * 255 - 128) * LEVEL), np.int16)


def corrections(picture: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """picture: (3, h, w) in 0..1; weights: int (classes, TAPS) of `place_of`; what is to be added, float32 (3, h, w)."""
    wide = np.zeros((loop.CLASSES, len(TAPS)), np.int32)
    wide[::OF_NO_CHANGE] = weights
    planes = [plane_of(samples) for samples in picture]
    found = np.stack([loop.corrections(plane, plane, UNIT, wide) for plane in planes])
    return found.astype(np.float32) / np.float32(255 * LEVEL << LOOP_FRACTION)
