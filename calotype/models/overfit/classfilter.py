"""The filter of a picture's planes after its net: small symmetric filters, one a class of samples, with a strength a plane.

    planes, in steps -> class of each sample: activity, direction -> + strength * (its class's weights . differences around it)

Source: Tsai et al., "Adaptive Loop Filtering for Video Coding" (IEEE J-STSP 2013), its directions as VVC has them, some
diagonal. Different: filters are solved over training photos and shipped (see loop.py, whose filters these are).
"""

from __future__ import annotations

import importlib
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from types import ModuleType

import numpy as np

from ... import threads
from . import loop
from .sizes import BUSY, LOOP_FRACTION, PLANES, TAP_REACH, TAPS

CLASSES = 9 * (len(BUSY) + 1)
SHAPE = (PLANES, CLASSES, len(TAPS))
UNIT = 32  # of samples, in a step
_SHIFT = 3  # from the planes' 1/256 step
_STRIP = 32  # rows that a thread filters at once


def checked(weights: np.ndarray) -> np.ndarray:
    """int32 weights. Raises ValueError where they are none or pass the bounds of the kernels."""
    if weights.shape != SHAPE or np.abs(weights.astype(np.int64)).max() > loop.WEIGHT_TOP:
        raise ValueError("the filters by class are none")
    return np.ascontiguousarray(weights, np.int32)


def samples(plane: np.ndarray) -> np.ndarray:
    """int16, in 1/UNIT step, of a plane int64 in 1/256 step, as classes and filters see it."""
    return np.clip((plane + (1 << (_SHIFT - 1))) >> _SHIFT, -(1 << 15), (1 << 15) - 1).astype(np.int16)


def classes(plane: np.ndarray) -> np.ndarray:
    """uint8 of a plane of `samples`."""
    out = np.empty(plane.shape, np.uint8)
    _kernels().classify(_wide(plane), 0, len(plane), out)
    return out


def corrections(plane: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """int64: what strength 8 adds to a plane of `samples`, in 2^-LOOP_FRACTION / UNIT step. weights: (CLASSES, TAPS)."""
    wide, height = _wide(plane), len(plane)
    of, out = np.empty(plane.shape, np.uint8), np.empty(plane.shape, np.int64)

    def strip(top: int) -> None:
        bottom = min(top + _STRIP, height)
        _kernels().classify(wide, top, bottom, of)
        loop.kernels().correct(wide[top : bottom + 2 * TAP_REACH], of[top:bottom], weights, out[top:bottom])

    with ThreadPoolExecutor(threads.count()) as pool:
        list(pool.map(strip, range(0, height, _STRIP)))
    return out


def strengthened(corrections: np.ndarray, strength: int) -> np.ndarray:
    """What a strength, in eighths, adds to a plane in 1/256 step."""
    shift = LOOP_FRACTION + 3 - _SHIFT
    return (corrections * strength + (1 << (shift - 1))) >> shift


def _wide(plane: np.ndarray) -> np.ndarray:
    return np.pad(plane, TAP_REACH, mode="edge")


@cache
def _kernels() -> ModuleType:
    """The compiled loop; numba is imported here, at the first use."""
    return importlib.import_module("calotype.models.overfit.class_kernels")
