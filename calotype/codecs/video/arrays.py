"""Clips that are arrays in memory, or come one by one out of a program."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from fractions import Fraction

import numpy as np

from ...errors import UsageError
from .colour import to_planes
from .source import ASSUMED_COLOUR, RGB_AS_YUV, TimedFrame, VideoSource


def from_arrays(frames: Iterable[np.ndarray], rate: Fraction, full_chroma: bool = False) -> VideoSource:
    """A clip of (H, W, 3) uint8 RGB frames, as 8-bit 4:2:0, BT.709, limited range, or of full range and 4:4:4; taken as they
    are coded. rate: a second. Raises UsageError for what is none; so do its frames."""
    if rate <= 0:
        raise UsageError(f"a rate of {rate} frames a second: give a number above 0")
    iterator = iter(frames)
    first = next(iterator, None)
    if first is None:
        raise UsageError("there is no frame in the clip: give one or more arrays (H, W, 3) uint8")
    _check(first, 0, first)
    colour = RGB_AS_YUV if full_chroma else ASSUMED_COLOUR

    def converted() -> Iterator[TimedFrame]:
        for number, frame in enumerate(itertools.chain((first,), iterator)):
            _check(frame, number, first)
            yield TimedFrame(to_planes(frame, colour), number)

    height, width = first.shape[:2]
    return VideoSource(width=width, height=height, rate=rate, ticks=1 / rate, _frames=converted(), colour=colour)


def _check(frame: np.ndarray, number: int, first: np.ndarray) -> None:
    shape, dtype = getattr(frame, "shape", None), getattr(frame, "dtype", None)
    if shape is None or dtype != np.uint8 or len(shape) != 3 or shape[2] != 3 or 0 in shape:
        raise UsageError(f"frame {number} is {_said(frame)}: give arrays (H, W, 3) uint8, RGB")
    if shape != first.shape:
        raise UsageError(f"frame {number} is {_said(frame)} and the first {_said(first)}: give frames of one size")


def _said(frame: object) -> str:
    shape = getattr(frame, "shape", None)
    return type(frame).__name__ if shape is None else f"{tuple(shape)} {getattr(frame, 'dtype', '')}"
