"""What the decoder's stack is given of indices. No torch."""

from __future__ import annotations

import numpy as np

from ..neural.stack import ACT_FRACTION

VALUE, FLAG = 1 << ACT_FRACTION - 1, 1 << ACT_FRACTION  # activations of an index of 1, and of a channel that was coded


def planes(coarse: np.ndarray, fine: np.ndarray, count: int) -> np.ndarray:
    """(h, w, 2 (C + F)) activations of indices (C, h / 2, w / 2) and (F, h, w), of whose channels the first `count` were coded
    and the others are 0."""
    values = np.concatenate((coarse.repeat(2, 1).repeat(2, 2), fine)).astype(np.int32) * VALUE
    flags = np.zeros_like(values)
    flags[:count] = FLAG
    return np.concatenate((values, flags)).transpose(1, 2, 0)
