"""Directions in which a picture moves the weights of its filter's nets: few numbers, nothing a pixel. Integers.

    net W, directions D_k of the start; amounts a_k of the picture -> W + (sum of a_k D_k + half) >> SHIFT

Source: Dupont et al., "From data to functa" (arXiv 2201.12204): modulations adapt a shared net to a signal. Different: they
weigh whole weight tensors, learnt as train/overfitmodulation.py says.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

DIRECTION_FRACTION = 4  # bits more than the weights they move
AMOUNT_FRACTION = 2
SHIFT = DIRECTION_FRACTION + AMOUNT_FRACTION
COUNT_TOP, DIRECTION_TOP = 64, (1 << 30) - 1
_TOP = 1 << 30  # what passes any bound of a net's arrays

Directions = dict[str, np.ndarray]  # int32 (count, *shape), by the names of a net's arrays


def moved(arrays: dict[str, np.ndarray], directions: Directions, amounts: Sequence[int]) -> dict[str, np.ndarray]:
    """Arrays int32 of a picture's own net; amounts: |a| < 2^15, so that sums stay below 2^52."""
    found = {}
    for name, array in arrays.items():
        more = np.tensordot(np.asarray(amounts, np.int64), directions[name].astype(np.int64), 1)
        found[name] = np.clip(array + (more + (1 << (SHIFT - 1)) >> SHIFT), -_TOP, _TOP).astype(np.int32)
    return found


def checked(directions: Directions, arrays: dict[str, np.ndarray], count: int) -> Directions:
    """Themselves. Raises ValueError unless there are `count` for each of a net's arrays, within bounds."""
    if not 1 <= count <= COUNT_TOP:
        raise ValueError(f"{count} directions are none or too many")
    for name, array in arrays.items():
        own = directions.get(name)
        if own is None or own.shape != (count, *array.shape) or own.dtype != np.int32:
            raise ValueError(f"the directions of '{name}' are missing or have another shape")
        if np.abs(own.astype(np.int64)).max() > DIRECTION_TOP:
            raise ValueError(f"the directions of '{name}' are out of range")
    return directions
