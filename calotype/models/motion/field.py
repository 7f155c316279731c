"""What an inter frame says about motion: one mode and up to two vectors for each block."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...errors import UsageError

FIRST, SECOND, BOTH, INTRA = 0, 1, 2, 3  # INTRA: by no reference; the prediction is mid-grey
LIMIT = 2047  # quarter luma pixels, of one component
BLOCKS = (8, 16, 32)  # in streams by their place here: only ever added to

Planes = tuple[np.ndarray, np.ndarray, np.ndarray]  # Y (H, W), U and V (H / 2, W / 2)


def field_shape(height: int, width: int, block: int) -> tuple[int, int]:
    """Rows and columns of blocks over a luma plane."""
    return -(-height // block), -(-width // block)


@dataclass(frozen=True, eq=False)
class Field:
    """Motion of one picture of padded planes (luma sides multiples of 32, chroma exactly half).

    block: side of a block in luma pixels, 8, 16 or 32. mode: uint8 (h, w), FIRST, SECOND, BOTH or INTRA: which
    reference predicts the block. vectors: int16 (2, h, w, 2), (dy, dx) in quarter luma pixels, |component| <= LIMIT, one for
    each reference, zero where the mode leaves that reference out. Raises UsageError where types or shapes are others.
    """

    block: int
    mode: np.ndarray
    vectors: np.ndarray

    def __post_init__(self) -> None:
        if self.block not in BLOCKS:
            raise UsageError(f"motion blocks of {self.block} pixels: only 8, 16 and 32 exist")
        if self.mode.dtype != np.uint8 or self.mode.ndim != 2:
            raise UsageError(f"modes must be uint8 (h, w), not {self.mode.dtype} {self.mode.shape}")
        if self.vectors.dtype != np.int16 or self.vectors.shape != (2, *self.mode.shape, 2):
            raise UsageError(f"vectors must be int16 {(2, *self.mode.shape, 2)}, not {self.vectors.dtype} {self.vectors.shape}")

    @property
    def has_intra(self) -> bool:
        """Whether any block is INTRA."""
        return bool((self.mode == INTRA).any())

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of blocks."""
        return self.mode.shape[0], self.mode.shape[1]
