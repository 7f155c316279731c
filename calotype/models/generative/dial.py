"""The dial of generative pictures: at low rates a smaller picture is coded, and made larger again. No torch."""

from __future__ import annotations

from typing import NamedTuple

from ..imageconfig import QUALITY_MAX


class Coded(NamedTuple):
    """How a picture is coded: at 1 / scale of its size, with the image model at quality 0..1000."""

    scale: int
    quality: int


class Stretch(NamedTuple):
    """From `start` on, up to the next one's, the dial moves the image model's quality from `low` to `high` at that scale."""

    start: int
    scale: int
    low: int
    high: int


# By image-s.4 on photos (docs/experiments/2026-11-28-generative.md) a third of the size takes 0.014 to 0.020 bpp, half 0.024 to
# 0.06, the whole 0.074 to 0.2. Stretches end before the next one's least rate, so that a file grows with the dial.
STRETCHES = (Stretch(0, 3, 0, 100), Stretch(150, 2, 0, 250), Stretch(450, 1, 0, 300))
SCALES = 3
QUALITIES = 300  # the image model's quality is at most this


def highest(scale: int) -> int:
    """The highest quality of the image model at that scale."""
    return max(s.high for s in STRETCHES if s.scale == scale)


def place(dial: float) -> Coded:
    """dial: 0..1000."""
    number = max(n for n, s in enumerate(STRETCHES) if s.start <= dial)
    start, scale, low, high = STRETCHES[number]
    end = STRETCHES[number + 1].start - 1 if number + 1 < len(STRETCHES) else QUALITY_MAX
    return Coded(scale, min(round(low + (high - low) * (dial - start) / (end - start)), high))
