"""Motion search of the encoder: any field is valid, this finds a good one (luma only, deterministic)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...codecs.y4m import Planes
from ...errors import UsageError
from .compensate import LUMA, extended
from .field import LIMIT, Field, field_shape


def search(target: Planes, references: Sequence[Planes], lmbda: float, block: int = 16, previous: Field | None = None) -> Field:
    """The field that predicts `target` from one or two references; all are padded planes of one shape.

    lmbda: what a bit may cost, in sums of absolute differences of 8-bit luma levels, about 1 (high quality) to 20.
    previous: a field of the same shape whose vectors are tried too. Raises UsageError where shapes differ.
    """
    from . import search_kernels

    shape = target[0].shape
    alike = all(planes[0].shape == shape for planes in references)
    if len(references) not in (1, 2) or not alike or shape[0] % 32 or shape[1] % 32:
        raise UsageError(f"motion of a picture of {shape} needs one or two references of its shape, sides multiples of 32")
    h, w = field_shape(*shape, block)
    around = block // 4
    side = block + 2 * around
    price = round(lmbda * 32 * side**2 / block**2)
    mode, vectors, bits = np.zeros((h, w), np.uint8), np.zeros((2, h, w, 2), np.int16), np.zeros((2, h, w), np.int64)
    before = previous.vectors if previous is not None and previous.shape == (h, w) else np.zeros_like(vectors)
    planes = [extended(picture[0]) for picture in (target, *references)]
    coarse = [_coarse(picture[0]) for picture in (target, *references)]
    halves = np.empty((4, *planes[0].shape), np.uint8)
    for r in range(len(references)):
        search_kernels.halve(planes[1 + r], halves)
        search_kernels.search_reference(
            *(planes[0], halves, coarse[0], coarse[1 + r], before[r], block, around, price, LIMIT, vectors[r], bits[r])
        )
    if len(references) == 2:
        rows, scratch = np.empty((side + 7, side), np.int16), np.empty((2, side, side), np.int32)
        search_kernels.choose_modes(*planes, vectors, bits, LUMA, block, around, price, mode, rows, scratch)
    return Field(block, mode, vectors)


def _coarse(plane: np.ndarray) -> np.ndarray:
    from . import search_kernels

    out = np.empty((plane.shape[0] // 4, plane.shape[1] // 4), np.uint8)
    search_kernels.quarter(np.ascontiguousarray(plane), out)
    return extended(out)
