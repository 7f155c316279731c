"""Steps within a tensor: a row's times a column's, so that errors do the same harm everywhere.

    importance (rows, columns) -> -log2 / 2 --> of rows + of columns, in eighths of an octave

At a high rate squared error of importance f costs least, for its bits, where f * step^2 is the same for all weights; with one
step a tensor, the few that matter are as coarse as all others.
Source: the importance of DeepCABAC (Wiedemann et al., arXiv 1907.11900), whose levels it weighs. Different: it also says steps.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

OCTAVE = 8
TOP = 15 * OCTAVE  # of a row's or a column's, either way
# 2^(k / 8), rounded to float64; as literals, for no machine may round them otherwise
_POWERS = np.array(
    [
        *(1.0, 1.0905077326652577, 1.189207115002721, 1.2968395546510096),
        *(1.4142135623730951, 1.5422108254079407, 1.681792830507429, 1.8340080864093424),
    ]
)


class Scales(NamedTuple):
    """Of a tensor's rows (R,) and columns (C,), int64 within +-TOP, in eighths of an octave."""

    rows: np.ndarray
    columns: np.ndarray

    def steps(self, step: float) -> np.ndarray:
        """float64 (R, C): step * 2^((row + column) / 8), exactly the same everywhere; finite, whatever a file claims."""
        both = self.rows[:, None] + self.columns[None]
        with np.errstate(over="ignore", under="ignore"):
            found = np.ldexp(step * _POWERS[both % OCTAVE], (both // OCTAVE).astype(np.int32))
        return np.minimum(found, np.finfo(np.float64).max)


def scales_of(importance: np.ndarray) -> tuple[Scales, float]:
    """The scales of importance (R, C) >= 0, and the mean of log2 of the best steps, of which they are differences. What is
    below 2^-20 of the mean counts as that: a step has to end somewhere. Raises ValueError for what is no importance."""
    if not np.isfinite(importance).all() or importance.min() < 0:
        raise ValueError("importance is finite, and 0 or more")
    mean = float(importance.mean())
    if not mean:
        raise ValueError("some importance is above 0")
    logs = -0.5 * np.log2(np.maximum(importance, mean * 2.0**-20))
    level = float(logs.mean())
    columns = _whole(logs.mean(0) - level)
    # of a row: what makes its mean of importance * step^2 that of the others
    rows = -0.5 * np.log2(np.maximum((importance * np.exp2(2 / OCTAVE * columns)).mean(1), mean * 2.0**-20))
    level = float(rows.mean())
    return Scales(_whole(rows - level), columns), level


def _whole(logs: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(OCTAVE * logs), -TOP, TOP).astype(np.int64)
