"""A picture to encode."""

from __future__ import annotations

import numpy as np


def gradient(height: int, width: int) -> np.ndarray:
    """A smooth colour picture (height, width, 3)."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 255 // max(width, 2), y * 255 // max(height, 2), (x + y) % 256], 2).astype(np.uint8)
