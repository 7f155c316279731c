"""A picture that is made in several steps: their times, and the state after one whose noise is coded. No torch."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

STEPS_MAX = 64


def times(steps: int, begin: float = 1.0) -> Iterator[tuple[float, float]]:
    """(time, time after) of each step: evenly from `begin`, at most 1, all noise, to 0, none."""
    return ((begin * (1 - k / steps), begin * (1 - (k + 1) / steps)) for k in range(steps))


def kept(time: float, after: float) -> float:
    """Of the state at `time` over 1 - time, the share that stays in that at `after`, over 1 - after."""
    return (after * (1 - time) / (time * (1 - after))) ** 2


def precision(time: float) -> float:
    """Of what a state at `time` says of the residual: one over its noise's variance, where the residual has its own size."""
    return ((1 - time) / time) ** 2


def redrawn(state: np.ndarray, residual: np.ndarray, noise: np.ndarray, time: float, after: float) -> np.ndarray:
    """The state at `after` drawn by that at `time` and a residual, all float32 of one shape, with noise of unit variance:
    q(s_after | s_time, residual) where the residual is true, the proposal p where it is the net's."""
    rest = 1 - kept(time, after)
    before = after**2 * (1 - time) / (time**2 * (1 - after))
    terms = ((1 - after) * rest, residual), (before, state), (after * rest**0.5, noise)
    return sum(np.float32(weight) * values for weight, values in terms)
