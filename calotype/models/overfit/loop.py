"""The filter of inter frames, in the loop: small symmetric filters, one a class of samples, shipped, with a strength a frame.

    prediction + residual -> class of each sample: activity, direction, change of the prediction, in steps
                          -> + strength * (its class's weights . differences to 24 samples around)  -> 8-bit planes

Source: Tsai et al., "Adaptive Loop Filtering for Video Coding" (IEEE J-STSP 2013): classes by activity and direction, Wiener
filters. Different: the filters are solved over training clips and shipped, as classes count in quantiser steps; a frame only
says how strong they are.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from functools import cache
from types import ModuleType

import numpy as np

from .sizes import ACTIVITIES, CHANGES, LOOP_FRACTION, TAP_REACH, TAPS

CLASSES = (len(ACTIVITIES) + 1) * 3 * (len(CHANGES) + 1)
SHAPE = (2, CLASSES, len(TAPS))  # of weights: Y, then U and V
WEIGHT_TOP = (1 << 15) - 1
STRONGEST = 15  # eighths
PLAIN = (0, 0)  # strengths of a frame without the filter


def checked(weights: np.ndarray) -> np.ndarray:
    """int32 weights. Raises ValueError where they are none or pass the bounds of the kernels."""
    if weights.shape != SHAPE or np.abs(weights.astype(np.int64)).max() > WEIGHT_TOP:
        raise ValueError("the filter's weights are none")
    return np.ascontiguousarray(weights, np.int32)


def classes(plane: np.ndarray, base: np.ndarray, unit: int) -> np.ndarray:
    """uint8 of a plane's shape. plane, base: int16, in 1/32 level around 128; unit: the plane's step, as the kernel has it."""
    out = np.empty(plane.shape, np.uint8)
    kernels().classify(plane, base, unit, out)
    return out


def corrections(plane: np.ndarray, base: np.ndarray, unit: int, weights: np.ndarray) -> np.ndarray:
    """int64: what strength 8 adds, in 2^-LOOP_FRACTION / 32 level. weights: (CLASSES, TAPS)."""
    out = np.empty(plane.shape, np.int64)
    wide = np.pad(plane, TAP_REACH, mode="edge")
    kernels().correct(wide, classes(plane, base, unit), weights, out)
    return out


def shown(plane: np.ndarray, more: np.ndarray | None, strength: int) -> np.ndarray:
    """uint8 samples of a plane and strength / 8 of its corrections."""
    out = np.empty(plane.shape, np.uint8)
    kernels().show(plane, np.zeros((1, 1), np.int64) if more is None else more, strength, out)
    return out


def best(wanted: Sequence[np.ndarray], planes: Sequence[np.ndarray], more: Sequence[np.ndarray]) -> int:
    """The strength of least squared error. wanted: 8-bit planes; planes, more: what they are made of."""
    along = square = 0.0
    for goal, plane, by in zip(wanted, planes, more, strict=True):
        missing = (goal.astype(np.float64) - 128) * 32 - plane
        along += float((missing * by).sum())
        square += float(np.square(by, dtype=np.float64).sum())
    return min(max(round(8 * along * (1 << LOOP_FRACTION) / square), 0), STRONGEST) if square else 0


@cache
def kernels() -> ModuleType:
    """The compiled loops; numba is imported here, at the first use."""
    return importlib.import_module("calotype.models.overfit.loop_kernels")
