"""Tiles of a picture: how it is cut into squares of latents."""

from __future__ import annotations

from dataclasses import dataclass

LATENT = 16  # pixels a latent
PAD = 32  # latents come in 2x2 cells
TILE_SIDE = 1024  # pixels; a stream that names no tile size has this one
TILE_MIN, TILE_MAX = 128, 4096  # a tile's latents and features are some 6 kB a latent position: 400 MB at most
HALO = 4  # latents around a tile; synthesis sees 8 + 8 * blocks pixels, so this serves up to 6 blocks

Box = tuple[int, int, int, int]  # top, bottom, left, right


@dataclass(frozen=True)
class Grid:
    """Tiles of a picture, in latents: rows and columns of at most `side` x `side`."""

    height: int
    width: int
    side: int

    @staticmethod
    def of(height: int, width: int, tile: int) -> Grid:
        """For a picture of that many pixels and tiles of `tile` pixels."""
        return Grid(-(-height // PAD) * 2, -(-width // PAD) * 2, tile // LATENT)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of tiles."""
        return -(-self.height // self.side), -(-self.width // self.side)

    def __len__(self) -> int:
        return self.shape[0] * self.shape[1]

    def box(self, row: int, column: int, halo: int = 0) -> Box:
        """(top, bottom, left, right) of a tile grown by `halo`, cut at the picture's edge."""
        top, left = row * self.side, column * self.side
        bottom, right = min(top + self.side, self.height), min(left + self.side, self.width)
        return max(0, top - halo), min(bottom + halo, self.height), max(0, left - halo), min(right + halo, self.width)
