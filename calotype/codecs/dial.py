"""Quality over a picture: one level, or a map of levels (regions of interest), and that map in a stream.

A map has one level for each cell of 32x32 pixels, that is 2x2 latents: what one step of the context codes in a cell has
one quality.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from ..errors import CorruptStreamError, UsageError
from ..models.imageconfig import QUALITY_MAX
from ..models.integer.places import Quality
from .header import decode_varint, encode_varint

if TYPE_CHECKING:
    from torch import Tensor

CELL = 32  # pixels
MAX_LEVELS = 16
SIDE = 4  # latents a side latent, in each direction


@dataclass(frozen=True)
class Dial:
    """levels: ascending qualities 0..1000. latent: the number of its level for each latent, (h, w) uint8; None where one
    level holds everywhere."""

    levels: tuple[int, ...]
    latent: np.ndarray | None = None

    @staticmethod
    def of_mask(mask: np.ndarray, quality: int, drop: int) -> Dial:
        """Quality 0..1000 where mask (H, W), 0..255, is 255, less by `drop` where it is 0, in between where it is between.

        A cell has the quality of its highest value; at most 16 levels. Raises UsageError.
        """
        if mask.ndim != 2 or mask.dtype != np.uint8 or 0 in mask.shape:
            raise UsageError(f"a mask is (H, W) uint8, not {mask.shape} {mask.dtype}")
        height, width = mask.shape
        padded = np.pad(mask, ((0, -height % CELL), (0, -width % CELL)))
        rows, columns = padded.shape[0] // CELL, padded.shape[1] // CELL
        cells = padded.reshape(rows, CELL, columns, CELL).max((1, 3)).astype(np.int64)
        steps = (cells * (MAX_LEVELS - 1) + 127) // 255
        wanted = np.maximum(quality - drop * (MAX_LEVELS - 1 - steps) // (MAX_LEVELS - 1), 0)
        levels, which = np.unique(wanted, return_inverse=True)
        return Dial.of_cells(tuple(int(v) for v in levels), which.reshape(wanted.shape).astype(np.uint8))

    @staticmethod
    def of_cells(levels: tuple[int, ...], cells: np.ndarray) -> Dial:
        """From the number of each cell's level, uint8."""
        return Dial(levels, cells.repeat(2, 0).repeat(2, 1) if len(levels) > 1 else None)

    def crop(self, box: tuple[int, int, int, int]) -> Dial:
        """The part in (top, bottom, left, right), in latents."""
        return self if self.latent is None else Dial(self.levels, self.latent[box[0] : box[1], box[2] : box[3]])

    @cached_property
    def side(self) -> np.ndarray | None:
        """The level's number for each side latent: the highest of its latents."""
        if self.latent is None:
            return None
        h, w = self.latent.shape
        padded = np.pad(self.latent, ((0, -h % SIDE), (0, -w % SIDE)))
        return padded.reshape(padded.shape[0] // SIDE, SIDE, -1, SIDE).max((1, 3))

    @property
    def quality(self) -> Quality:
        """As the integer prior takes it."""
        return Quality(self.levels, self.side, self.latent)

    def weights(self, device: str = "cpu") -> Tensor:
        """Knot weights for the transforms: (1, KNOTS), or (1, KNOTS, h, w)."""
        return self._weights(self.latent, device)

    def side_weights(self, device: str = "cpu") -> Tensor:
        """Knot weights for the side latents."""
        return self._weights(self.side, device)

    def _weights(self, which: np.ndarray | None, device: str) -> Tensor:
        import torch

        from ..models.image import knot_weights

        weights = knot_weights(torch.tensor(self.levels, device=device))
        if which is None:
            return weights
        return weights[torch.from_numpy(which.astype(np.int64)).to(device)].permute(2, 0, 1)[None]

    # ---- in a stream

    def to_bytes(self) -> bytes:
        """The payload of a `Roim` chunk: number of levels, levels, cells in raster order by deflate (RFC 1951)."""
        assert self.latent is not None
        deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
        cells = deflate.compress(np.ascontiguousarray(self.latent[::2, ::2]).tobytes()) + deflate.flush()
        return bytes([len(self.levels)]) + b"".join(map(encode_varint, self.levels)) + cells

    @staticmethod
    def from_bytes(payload: bytes | memoryview, height: int, width: int) -> Dial:
        """The map of a picture of height x width latents (both even). Raises CorruptStreamError."""
        view = memoryview(payload)
        count = view[0] if len(view) else 0
        levels, at = [], 1
        if not 2 <= count <= MAX_LEVELS:
            raise CorruptStreamError("the map of qualities has no or too many levels: the file is damaged")
        for _ in range(count):
            level, at = decode_varint(view, at, 16)
            levels.append(level)
        size = (height // 2) * (width // 2)
        inflate = zlib.decompressobj(-15)
        try:
            cells = np.frombuffer(inflate.decompress(bytes(view[at:]), size + 1), np.uint8)
        except zlib.error as e:
            raise CorruptStreamError(f"the map of qualities does not decompress ({e}): the file is damaged") from e
        ascending = all(a < b for a, b in zip(levels, levels[1:], strict=False)) and levels[-1] <= QUALITY_MAX
        if len(cells) != size or not inflate.eof or inflate.unused_data or not ascending or cells.max() >= count:
            raise CorruptStreamError("the map of qualities is not that of this picture: the file is damaged")
        return Dial.of_cells(tuple(levels), cells.reshape(height // 2, width // 2))
