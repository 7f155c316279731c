"""A region of interest: where in a picture quality matters most, as codecs are asked for it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import UsageError


@dataclass(frozen=True)
class Roi:
    """mask: (H, W) uint8, 255 where the picture has the quality asked for; drop: by how much quality (of 0..100) is lower where
    the mask is 0; in between, in between."""

    mask: np.ndarray
    drop: float = 30.0

    def checked(self, pixels: np.ndarray) -> Roi:
        """Itself. Raises UsageError where it is not one of a picture (H, W, 3)."""
        if self.mask.ndim != 2 or self.mask.dtype != np.uint8 or self.mask.shape != pixels.shape[:2]:
            given = f"a mask of {self.mask.shape} {self.mask.dtype}"
            raise UsageError(f"{given} for a picture of {pixels.shape[:2]}: give one of the same size, uint8")
        if not 0 <= self.drop <= 100:
            raise UsageError(f"a drop of {self.drop} in quality: give 0 to 100")
        return self

    def qualities(self, quality: int) -> np.ndarray:
        """(H, W) float64, 0..1000: the quality of each pixel, where `quality` of 0..1000 is asked for."""
        return np.maximum(quality - self.drop * 10 * (1 - self.mask / 255), 0)
