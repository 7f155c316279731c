"""The codec of few indices: some hundreds to a thousand bytes a photo (docs/FORMAT.md, section 5.11).

    pixels -> encoder (floats) -> indices at 1/32 and 1/16 -> the first channels of them, by the prior -> one chunk
    chunk  -> prior, integers -> indices -> decoder, integers -> pixels

Sources and what differs: models/fsq/net.py. All of decoding is integer arithmetic. Both nets work on parts of a picture with a
margin of more than they see, so that memory stays bounded; of the decoder no seam can show.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from ..errors import CorruptStreamError, UsageError
from ..models.fsq.bundle import FsqBundle
from ..models.fsq.config import COARSE, FEWEST, HALO
from ..models.fsq.planes import planes
from ..models.fsq.prior import Indices, sides
from ..models.neural import stack
from . import container
from .container import ICC, TILE, Chunk, Container
from .image import Decoded, Encoded, Progress, Roi, Stopwatch
from .request import check_pixels, one_tile, picture_header, tenths

CODEC = "fsq"
PART = 32  # coarse places a side that a net is given at a time, without the margin
_HEAD = container.SYMBOL_HASH_BYTES + 1


class FsqCodec:
    """Encodes and decodes pictures with one model. Not safe for use by several threads at once."""

    by_psnr = False  # what it is for is not PSNR

    def __init__(self, bundle: FsqBundle):
        self.bundle = bundle

    # ---- encode

    def encode(
        self,
        pixels: np.ndarray,
        quality: float = 50.0,
        icc: bytes | None = None,
        reconstruct: bool = False,
        progress: Progress | None = None,
        roi: Roi | None = None,
        analysis: Indices | None = None,
    ) -> Encoded:
        """Encode pixels (H, W, 3) uint8 RGB at quality 0..100: some 0.005 to 0.03 bits a pixel of a photo, in as many steps as
        there are channels. analysis: of these pixels. Raises UsageError, for a region of interest too."""
        check_pixels(pixels)
        height, width = pixels.shape[:2]
        dial, watch = tenths(quality), Stopwatch()
        count = self.bundle.config.counted(dial)
        found = self.analyse(pixels, quality, roi) if analysis is None else analysis
        kept = _first(found, count)
        watch.lap("network")
        coded = self.bundle.prior.encode(kept, count)
        payload = container.symbol_hash(_symbols(kept, count)) + bytes([count]) + coded.data
        watch.lap("entropy")
        header = picture_header(CODEC, self.bundle, height, width, {"quality_deci": dial})
        data = container.write(header, ([] if icc is None else [Chunk(ICC, icc)]) + [Chunk(TILE, payload)])
        picture = self._painted(kept, count, height, width) if reconstruct else None
        watch.lap("network")
        if progress:
            progress(1, 1)
        return Encoded(data, dial / 10, coded.bits, picture, watch.seconds)

    def analyse(self, pixels: np.ndarray, quality: float, roi: Roi | None = None) -> Indices:
        """All indices, whatever the quality. Raises UsageError."""
        if roi is not None:
            raise UsageError(f"model '{self.bundle.name}' has one quality for all of a picture: leave roi out")
        import torch

        config, shape = self.bundle.config, sides(*pixels.shape[:2])
        below, beside = (COARSE * n - side for n, side in zip(shape, pixels.shape[:2], strict=True))
        whole = np.pad(pixels, ((0, below), (0, beside), (0, 0)), mode="edge")
        found = _zeros(config.coarse, config.fine, shape)
        for part in _parts(shape):
            top, left, bottom, right = (COARSE * v for v in part.seen)
            x = torch.from_numpy(whole[top:bottom, left:right].copy()).permute(2, 0, 1)[None].to(self.bundle.device)
            with torch.inference_mode():
                made = self.bundle.encoder(x.float() / 255)
            for all_, own, unit in zip(found, made, (1, 2), strict=True):
                part.core(all_, unit)[...] = part.within(own[0].cpu().numpy().astype(np.int32), unit)
        return found

    # ---- decode

    def decode(self, stream: Container, progress: Progress | None = None) -> Decoded:
        """Decode a read container. Raises CorruptStreamError, DesyncError."""
        header, watch = stream.header, Stopwatch()
        indices, count = self._indices(stream)
        watch.lap("entropy")
        picture = self._painted(indices, count, header.height, header.width)
        watch.lap("network")
        if progress:
            progress(1, 1)
        icc = stream.payloads(ICC)
        return Decoded(picture, bytes(icc[0]) if icc else None, 0, watch.seconds)

    def symbol_hashes(self, stream: Container) -> Iterator[bytes]:
        """The hash of the indices, decoded. Raises as `decode`."""
        yield container.symbol_hash(_symbols(*self._indices(stream)))

    def digests(self, stream: Container) -> dict[str, str]:
        """{"symbols": ..., "pixels": ...} as of `conformance.digests`. Raises as `decode`."""
        from .conformance import pixel_digest, symbol_digest

        indices, count = self._indices(stream)
        pixels = self._painted(indices, count, stream.header.height, stream.header.width)
        return {"symbols": symbol_digest(_symbols(indices, count)), "pixels": pixel_digest(pixels)}

    def _indices(self, stream: Container) -> tuple[Indices, int]:
        """Indices, and how many channels of them were coded."""
        payload = memoryview(one_tile(stream, CODEC))
        if len(payload) < _HEAD:
            raise CorruptStreamError("a picture's chunk is too short to be one: the file is damaged")
        count = payload[_HEAD - 1]
        if not FEWEST <= count <= self.bundle.config.channels:
            raise CorruptStreamError(f"a picture of {count} channels, which this model has not: the file is damaged")
        shape = sides(stream.header.height, stream.header.width)
        indices = self.bundle.prior.decode(payload[_HEAD:], shape, count)
        container.check_symbols(payload[: _HEAD - 1], _symbols(indices, count))
        return indices, count

    def _painted(self, indices: Indices, count: int, height: int, width: int) -> np.ndarray:
        """(height, width, 3) uint8."""
        canvas = np.empty((height, width, 3), np.uint8)
        for part in _parts(sides(height, width)):
            grid = planes(part.around(indices.coarse, 1), part.around(indices.fine, 2), count)
            made = stack.run(self.bundle.layers, grid).transpose(2, 0, 1)
            target = part.core(canvas.transpose(2, 0, 1), COARSE)
            target[...] = part.within(made, COARSE)[:, : target.shape[1], : target.shape[2]]
        return canvas


class Part(NamedTuple):
    """A part of a picture and what a net is given for it: (top, left, bottom, right) in coarse places."""

    inner: tuple[int, int, int, int]
    seen: tuple[int, int, int, int]

    def core(self, x: np.ndarray, unit: int) -> np.ndarray:
        """The part of (C, H, W), of `unit` samples a coarse place; a view."""
        top, left, bottom, right = (unit * v for v in self.inner)
        return x[:, top:bottom, left:right]

    def around(self, x: np.ndarray, unit: int) -> np.ndarray:
        """What is seen of it."""
        top, left, bottom, right = (unit * v for v in self.seen)
        return x[:, top:bottom, left:right]

    def within(self, made: np.ndarray, unit: int) -> np.ndarray:
        """The part of what was made of what is seen."""
        top, left = (unit * (a - b) for a, b in zip(self.inner[:2], self.seen[:2], strict=True))
        height, width = (unit * (self.inner[2 + k] - self.inner[k]) for k in (0, 1))
        return made[:, top : top + height, left : left + width]


def _parts(shape: tuple[int, int]) -> Iterator[Part]:
    """The parts of a picture of so many coarse places."""
    margin = HALO // COARSE
    for y in range(0, shape[0], PART):
        for x in range(0, shape[1], PART):
            bottom, right = min(y + PART, shape[0]), min(x + PART, shape[1])
            around = max(y - margin, 0), max(x - margin, 0), min(bottom + margin, shape[0]), min(right + margin, shape[1])
            yield Part((y, x, bottom, right), around)


def _zeros(coarse: int, fine: int, shape: tuple[int, int]) -> Indices:
    return Indices(np.zeros((coarse, *shape), np.int32), np.zeros((fine, *(2 * n for n in shape)), np.int32))


def _first(indices: Indices, count: int) -> Indices:
    """With zeros in the place of all but the first `count` channels."""
    coarse, fine = (part.copy() for part in indices)
    coarse[count:], fine[max(count - len(coarse), 0) :] = 0, 0
    return Indices(coarse, fine)


def _symbols(indices: Indices, count: int) -> list[np.ndarray]:
    """What the hash covers: channels that were coded."""
    coarse = len(indices.coarse)
    return [np.ascontiguousarray(part) for part in (indices.coarse[:count], indices.fine[: max(count - coarse, 0)])]
