"""The times of a picture that is made in several steps. No torch."""

from __future__ import annotations

from collections.abc import Iterator

STEPS_MAX = 64


def times(steps: int) -> Iterator[tuple[float, float]]:
    """(time, time after) of each step: evenly from 1, all noise, to 0, none."""
    return ((1 - k / steps, 1 - (k + 1) / steps) for k in range(steps))
