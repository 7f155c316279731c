"""From tiles of latents to a picture: the synthesis runs over parts of the picture that need not be tiles.

It sees HALO latents beyond what it paints, more than its receptive field, so the result is that of the whole picture at once,
to the bit. Fewer and larger parts repeat fewer of these.
"""

from __future__ import annotations

import numpy as np

from ..models.bundle import ImageBundle
from .dial import Dial
from .grid import HALO, LATENT, Grid

PART = 1 << 22  # pixels painted at a time; features take some 25 bytes a pixel
GREY = 128


class Painter:
    """Paints as soon as enough latents are known; holds the latents of two parts at most."""

    def __init__(self, bundle: ImageBundle, grid: Grid, dial: Dial, canvas: np.ndarray):
        """canvas: (H, W, 3) uint8, to be painted. dial: of the whole picture."""
        self.bundle, self.grid, self.dial, self.canvas = bundle, grid, dial, canvas
        self._rows: list[np.ndarray] = []  # (rows, width, M) int32 each, from latent row `_top` on
        self._top = self._painted = 0
        self._lost: list[tuple[int, int]] = []

    def add(self, row: int, column: int, y_hat: np.ndarray | None) -> None:
        """Give y_hat (h, w, M) int32, in 1/16, of the next tile in raster order; None where the tile was lost."""
        top, bottom, left, right = self.grid.box(row, column)
        if column == 0:
            self._rows.append(np.zeros((bottom - top, self.grid.width, self.bundle.config.latents), np.int32))
        if y_hat is None:
            self._lost.append((row, column))
        else:
            self._rows[-1][:, left:right] = y_hat
        if column == self.grid.shape[1] - 1:
            last = bottom == self.grid.height
            end = bottom if last else bottom - HALO
            if last or (end - self._painted) * self.grid.width * LATENT**2 >= PART:
                self._paint(end, bottom)

    def _paint(self, end: int, known: int) -> None:
        """Paint latent rows up to `end`, of which `known` have been given."""
        band = np.concatenate(self._rows) if len(self._rows) > 1 else self._rows[0]
        start, width = self._painted, self.grid.width
        count = -(-(end - start) * width * LATENT**2 // PART)
        for k in range(count):
            left, right = width * k // count, width * (k + 1) // count
            outer = (max(0, start - HALO), min(end + HALO, known), max(0, left - HALO), min(right + HALO, width))
            part = np.ascontiguousarray(band[outer[0] - self._top : outer[1] - self._top, outer[2] : outer[3]])
            x = self.bundle.synthesis(part[None], self.dial.crop(outer).quality)[0]
            target = self.canvas[start * LATENT : end * LATENT, left * LATENT : right * LATENT]
            y0, x0 = (start - outer[0]) * LATENT, (left - outer[2]) * LATENT
            target[...] = x[y0 : y0 + target.shape[0], x0 : x0 + target.shape[1]]
        top = max(0, end - HALO)
        self._rows = [] if end == self.grid.height else [band[top - self._top :].copy()]
        self._top, self._painted = top, end

    def picture(self) -> np.ndarray:
        """The finished picture (H, W, 3) uint8; lost tiles are grey."""
        for cell in self._lost:
            top, bottom, left, right = (v * LATENT for v in self.grid.box(*cell))
            self.canvas[top:bottom, left:right] = GREY
        return self.canvas
