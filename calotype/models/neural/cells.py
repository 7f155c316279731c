"""Frames of 4:2:0 as cells of 2 x 2 pixels: the four Y in raster order, U, V."""

from __future__ import annotations

import numpy as np

from .plan import SAMPLES

Planes = tuple[np.ndarray, np.ndarray, np.ndarray]


def to_cells(planes: Planes) -> np.ndarray:
    """(h, w, 6) uint8 of Y (H, W), U, V (h, w); an odd side's last row or column of Y stands twice."""
    luma, cb, cr = planes
    height, width = cb.shape
    luma = np.pad(luma, ((0, 2 * height - luma.shape[0]), (0, 2 * width - luma.shape[1])), mode="edge")
    four = luma.reshape(height, 2, width, 2).transpose(0, 2, 1, 3).reshape(height, width, 4)
    return np.concatenate([four, cb[..., None], cr[..., None]], -1)


def to_planes(cells: np.ndarray, height: int, width: int) -> Planes:
    """Y (height, width), U, V of cells (h, w, 6), of which those outside the frame are left out."""
    rows, columns = (height + 1) // 2, (width + 1) // 2
    cells = cells[:rows, :columns]
    four = cells[..., :4].reshape(rows, columns, 2, 2).transpose(0, 2, 1, 3).reshape(2 * rows, 2 * columns)
    luma = np.ascontiguousarray(four[:height, :width])
    return luma, np.ascontiguousarray(cells[..., 4]), np.ascontiguousarray(cells[..., SAMPLES - 1])
