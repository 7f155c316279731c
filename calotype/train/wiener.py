"""Filters by class (models/overfit/loop.py, classfilter.py) by least squares."""

from __future__ import annotations

import numpy as np

from ..models.overfit import loop
from ..models.overfit.sizes import LOOP_FRACTION, TAP_REACH, TAPS

RIDGE = 1e-3  # of the mean square of a class's differences


class ClassFit:
    """Several sets of filters, each of a class solved by itself."""

    def __init__(self, sets: int, classes: int = loop.CLASSES) -> None:
        taps = len(TAPS)
        self.square = np.zeros((sets, classes, taps, taps))
        self.along = np.zeros((sets, classes, taps))

    def add(self, number: int, plane: np.ndarray, of: np.ndarray, missing: np.ndarray, weight: float) -> None:
        """To set `number`: a plane and the class of each sample; missing: what should be added, in the plane's unit; weight: of
        errors."""
        seen, missing = np.stack([_around(plane * np.float32(weight), *tap) for tap in TAPS]), missing * np.float32(weight)
        for k in np.unique(of):
            x = seen[:, of == k]
            self.square[number, k] += x @ x.T
            self.along[number, k] += x @ missing[of == k]

    def solved(self) -> np.ndarray:
        """int32 (sets, classes, TAPS) within `loop.WEIGHT_TOP`; zero for classes that were not seen."""
        taps = np.arange(len(TAPS))
        square = self.square.copy()
        square[..., taps, taps] += RIDGE * self.square[..., taps, taps].mean(-1, keepdims=True) + 1e-6
        found = np.linalg.solve(square, self.along[..., None])[..., 0]
        top = loop.WEIGHT_TOP
        return np.clip(np.rint(found * (1 << LOOP_FRACTION)), -top, top).astype(np.int32)


def _around(plane: np.ndarray, down: int, right: int) -> np.ndarray:
    """Two samples, one so far below and to the right, one as far the other way, less the one between; edges repeated."""
    h, w = plane.shape
    wide = np.pad(plane, TAP_REACH, mode="edge")
    both = (wide[TAP_REACH + s * down :, TAP_REACH + s * right :][:h, :w] for s in (1, -1))
    return sum(both, -2 * plane)
