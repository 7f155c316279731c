"""Where a fit may start: colours of the picture's own and steps, of which the encoder keeps those that cost least.

A rotation of colours that suits the large areas of a picture does not suit its details, which take most bits: on held-out
photos the best of a few such costs 1 % less than the better of the shipped colours and the axes of all pixels
(docs/experiments/2026-11-29-overfit-starts.md).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..models.overfit.side import COLOUR_STEP
from ..models.overfit.synthesis import COLOUR_FRACTION

REACHES = (0, 6, 27, 2)  # pixels to each side of the means that details are told from; 0: of the picture as it is
SHARES = (0.92, 1.09, 0.96)  # of the step that the quality says


def starts(shipped: np.ndarray, pixels: np.ndarray, count: int) -> Iterator[tuple[np.ndarray | None, float]]:
    """The first `count` starts of pixels (H, W, 3) besides the shipped colours (3, 3): (differences to these as of `Side`, or
    None for those that were best so far; share of the step)."""
    for reach in REACHES[:count]:
        yield own_colours(shipped, pixels, reach), 1.0
    for share in SHARES[: max(count - len(REACHES), 0)]:
        yield None, share


def own_colours(shipped: np.ndarray, pixels: np.ndarray, reach: int = 0) -> np.ndarray:
    """Differences (3, 3) of `Side` to the shipped colours that make the planes the principal axes of the colours of a picture,
    or, where reach > 0, of what it has beyond means of (2 reach + 1) x (2 reach + 1) pixels."""
    colours = pixels.astype(np.float64)
    if reach:
        colours = colours - _means(_means(colours, reach, 0), reach, 1)
    colours = colours.reshape(-1, 3)
    axes = np.linalg.eigh(np.cov(colours.T) if len(colours) > 1 else np.eye(3))[1][:, ::-1]
    start = shipped / (1 << COLOUR_FRACTION)
    signs = np.where((axes * start).sum(0) < 0, -1, 1)
    return np.rint((axes * signs - start) * (1 << COLOUR_FRACTION) / COLOUR_STEP).astype(np.int64)


def _means(x: np.ndarray, reach: int, axis: int) -> np.ndarray:
    """Means along an axis, of what is inside."""
    sums = np.cumsum(np.insert(np.moveaxis(x, axis, 0), 0, 0, 0), 0)
    at = np.arange(len(sums) - 1)
    low, high = np.maximum(at - reach, 0), np.minimum(at + reach + 1, len(at))
    return np.moveaxis((sums[high] - sums[low]) / (high - low).reshape(-1, *[1] * (x.ndim - 1)), 0, axis)
