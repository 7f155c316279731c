"""The image codec: RGB pixels <-> tiles of latents <-> .calo file. Its stream is specified in docs/FORMAT.md, section 5.

A picture is padded to a multiple of 32 and cut into tiles. Latents are coded tile by tile, so that a damaged tile costs
itself only and memory stays bounded; the synthesis of a tile sees the latents of its neighbours (a halo of more than its
receptive field), so that no seam can show: the result is that of the whole picture at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from ..entropy import RansDecoder, RansEncoder, TableBank
from ..errors import CorruptStreamError, UsageError
from ..models.bundle import ImageBundle
from ..models.imageconfig import QUALITY_MAX
from ..models.priorgraph import MEAN_FRAC, Z_MAX
from ..models.stem import Past
from . import container
from .container import ICC, ROI, TILE, Chunk, Container, Header
from .dial import Dial
from .grid import HALO, LATENT, PAD, TILE_MAX, TILE_MIN, TILE_SIDE, Grid
from .painter import Painter
from .rdoq import Rounder
from .request import check_fit, check_pixels, picture_header, tenths
from .roi import Roi

if TYPE_CHECKING:
    from torch import Tensor

    from .analysis import Analysis
    from .grid import Box

CODEC = "image"
SKIP = 10  # scale indices below this are not coded: sigma < 0.2 steps
EFFORT, MAX_EFFORT = 0, 9  # passes of `closedloop.fit`; none by default, as one costs more time than all the rest
SYMBOL_LIMIT = 1 << 15  # no latent of an 8-bit picture comes near; keeps y_hat in 1/16 within int32

Progress = Callable[[int, int], None]
Push = Callable[[TableBank, np.ndarray, np.ndarray, bool], None]  # tables, symbols, indices, whether scales index


@dataclass(frozen=True)
class Encoded:
    """A coded picture. quality 0..100; estimated_bits: ideal code length of all symbols; reconstruction: what a decoder
    gives (H, W, 3) uint8, where asked for; seconds: {"network": ..., "entropy": ...}."""

    data: bytes
    quality: float
    estimated_bits: float
    reconstruction: np.ndarray | None = None
    seconds: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Decoded:
    """A decoded picture (H, W, 3) uint8, its ICC profile, and how many tiles were lost (grey in the picture)."""

    pixels: np.ndarray
    icc: bytes | None
    missing: int
    seconds: dict[str, float] = field(default_factory=dict)


class Stopwatch:
    """Adds up wall seconds by name."""

    def __init__(self) -> None:
        self.seconds = {"network": 0.0, "entropy": 0.0}
        self._mark = time.perf_counter()

    def lap(self, name: str) -> None:
        """Charge the time since the last lap to `name`."""
        now = time.perf_counter()
        self.seconds[name] += now - self._mark
        self._mark = now


class ImageCodec:
    """Encodes and decodes pictures with one model. Not safe for use by several threads at once."""

    def __init__(self, bundle: ImageBundle, tile: int = TILE_SIDE, effort: int = EFFORT):
        """tile: side of a tile in pixels, a multiple of 32, 128 to 4096. effort: passes that fit the latents to the picture
        before they are coded, 0 to 9 (`closedloop.py`)."""
        check_fit(effort, MAX_EFFORT)
        if tile % PAD or not TILE_MIN <= tile <= TILE_MAX:
            raise UsageError(f"tile side {tile}: give a multiple of {PAD} from {TILE_MIN} to {TILE_MAX}")
        if 8 + 8 * bundle.config.synthesis_blocks > HALO * LATENT:
            raise UsageError(f"this model's synthesis sees further than the halo of {HALO * LATENT} pixels")
        self.bundle, self.tile, self.effort = bundle, tile, effort

    # ---- encode

    def encode(
        self,
        pixels: np.ndarray,
        quality: float = 50.0,
        icc: bytes | None = None,
        reconstruct: bool = False,
        progress: Progress | None = None,
        roi: Roi | None = None,
        analysis: Analysis | None = None,
    ) -> Encoded:
        """Encode pixels (H, W, 3) uint8 RGB at quality 0..100 (steps of 0.1). Raises UsageError.

        roi: where in the picture to spend the bits. analysis: of these pixels, to leave the analysis transform out.
        """
        dial, watch = self._dial(pixels, quality, roi), Stopwatch()
        height, width = pixels.shape[:2]
        grid = Grid.of(height, width, self.tile)
        chunks = [] if icc is None else [Chunk(ICC, icc)]
        if dial.latent is not None:
            chunks.append(Chunk(ROI, dial.to_bytes()))
        painter = Painter(self.bundle, grid, dial, np.empty_like(pixels)) if reconstruct else None
        rounder = Rounder(self.bundle.y_bank, self.bundle.worth(dial.levels), self.bundle.config.of_prior.plan, SKIP)
        bits = 0.0
        rows, columns = grid.shape
        for row in range(rows):
            for column in range(columns):
                inner = grid.box(row, column)
                if analysis is None:
                    y = self._analyse_tile(pixels, grid, row, column, dial)
                else:
                    y = analysis.at(self.bundle, row * columns + column, dial.crop(inner))
                watch.lap("network")
                payload, ideal, y_hat = self._encode_tile(y, pixels, inner, dial.crop(inner), rounder, watch)
                chunks.append(Chunk(TILE, payload))
                bits += ideal
                if painter:
                    painter.add(row, column, y_hat)
                    watch.lap("network")
                if progress:
                    progress(row * columns + column + 1, len(grid))
        params = {"quality_deci": round(quality * 10)}
        if len(grid) > 1 or self.tile != TILE_SIDE:
            params |= {"tile_width": self.tile, "tile_height": self.tile}
        header = picture_header(CODEC, self.bundle, height, width, params)
        data = container.write(header, chunks)
        return Encoded(data, round(quality * 10) / 10, bits, painter.picture() if painter else None, watch.seconds)

    def analyse(self, pixels: np.ndarray, quality: float, roi: Roi | None = None) -> Analysis:
        """The latents of a picture as the analysis transform gives them at that quality: `encode` at any quality can start
        from them. 5 bytes a pixel. Raises UsageError."""
        from .analysis import Analysis

        dial = self._dial(pixels, quality, roi)
        grid = Grid.of(*pixels.shape[:2], self.tile)
        rows, columns = grid.shape
        cells = [(row, column) for row in range(rows) for column in range(columns)]
        return Analysis([(self._analyse_tile(pixels, grid, *cell, dial), dial.crop(grid.box(*cell))) for cell in cells])

    def encode_frame(
        self, pixels: np.ndarray, quality: int, past: Past | None = None
    ) -> tuple[bytes, float, np.ndarray, np.ndarray]:
        """One frame of video, a picture of one tile: (payload, estimated bits, pixels as decoded, y_hat (h, w, M) in 1/16).
        quality 0..1000; past: of a frame whose prior sees the one before, of that size."""
        dial, grid = Dial((quality,)), Grid.of(*pixels.shape[:2], self.tile)
        bank = past.stem.y_bank if past else self.bundle.y_bank
        rounder = Rounder(bank, self.bundle.worth(dial.levels), self.bundle.config.of_prior.plan, SKIP)
        y = self._analyse_tile(pixels, grid, 0, 0, dial)
        payload, bits, y_hat = self._encode_tile(y, pixels, grid.box(0, 0), dial, rounder, Stopwatch(), past)
        return payload, bits, self._painted(grid, dial, y_hat, pixels.shape), y_hat

    def decode_frame(
        self, payload: bytes | memoryview, height: int, width: int, quality: int, past: Past | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """What `encode_frame` gave: pixels (height, width, 3) uint8, y_hat. Raises CorruptStreamError, DesyncError."""
        dial, grid = Dial((quality,)), Grid.of(height, width, self.tile)
        y_hat = self.symbols(payload, (grid.height, grid.width), dial, past)[1]
        return self._painted(grid, dial, y_hat, (height, width, 3)), y_hat

    def _painted(self, grid: Grid, dial: Dial, y_hat: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        painter = Painter(self.bundle, grid, dial, np.empty(shape, np.uint8))
        painter.add(0, 0, y_hat)
        return painter.picture()

    def _dial(self, pixels: np.ndarray, quality: float, roi: Roi | None) -> Dial:
        check_pixels(pixels)
        q = tenths(quality)
        if roi is None:
            return Dial((q,))
        return Dial.of_mask(roi.checked(pixels).mask, q, round(roi.drop * 10))

    def _analyse_tile(self, pixels: np.ndarray, grid: Grid, row: int, column: int, dial: Dial) -> Tensor:
        """y (1, M, h, w) of a tile, in steps."""
        from .analysis import analyse

        outer = grid.box(row, column, HALO)
        return analyse(self.bundle, pixels, outer, grid.box(row, column), dial.crop(outer))

    def _encode_tile(
        self,
        y: Tensor,
        pixels: np.ndarray,
        box: Box,
        dial: Dial,
        rounder: Rounder,
        watch: Stopwatch,
        past: Past | None = None,
    ) -> tuple[bytes, float, np.ndarray]:
        if self.effort:
            from .analysis import crop
            from .closedloop import fit

            target = crop(pixels, box).to(self.bundle.device)
            y = fit(self.bundle, y.clone(), target, dial, self.effort, lambda y: self._trial(y, dial, rounder))
            watch.lap("network")
        encoder = RansEncoder()

        def push(bank: TableBank, symbols: np.ndarray, indices: np.ndarray, scale_indexed: bool) -> None:
            encoder.push(bank, symbols.reshape(-1), indices.reshape(-1), scale_indexed=scale_indexed)

        coded, y_hat = self._code(y, dial, rounder, push, past)
        payload = container.symbol_hash(coded) + encoder.finish(SKIP)
        watch.lap("entropy")
        return payload, encoder.bits, y_hat

    def _trial(self, y: Tensor, dial: Dial, rounder: Rounder) -> tuple[float, np.ndarray]:
        """Bits that y would take, and its y_hat."""
        bits = 0.0

        def count(bank: TableBank, symbols: np.ndarray, indices: np.ndarray, scale_indexed: bool) -> None:
            nonlocal bits
            bits += kept_bits(bank, symbols.reshape(-1), indices.reshape(-1), scale_indexed)

        y_hat = self._code(y, dial, rounder, count)[1]
        return bits, y_hat

    def _code(
        self, y: Tensor, dial: Dial, rounder: Rounder, push: Push, past: Past | None = None
    ) -> tuple[list[np.ndarray], np.ndarray]:
        """y (1, M, h, w) in steps -> its symbols (z, then step by step), each given to `push`, and y_hat (h, w, M) in 1/16."""
        from .analysis import latents

        bundle, quality = self.bundle, dial.quality
        prior, y_bank = past.stem if past else (bundle.prior, bundle.y_bank)
        z, flat = latents(bundle, y, dial, SYMBOL_LIMIT)
        coded = [z]

        def code(mean: np.ndarray, index: np.ndarray, step: int) -> np.ndarray:
            residual = prior.cut(flat, step) - mean * np.float32(1 / (1 << MEAN_FRAC))
            symbols = rounder(residual, index, step, prior.level_at(quality, step))
            push(y_bank, symbols, index, True)
            coded.append(symbols)
            return symbols

        push(bundle.z_bank, z, _z_indices(z.shape), False)
        return coded, prior.walk(z, flat.shape[:2], quality, code, temporal=past and past.temporal)

    # ---- decode

    def decode(self, stream: Container, progress: Progress | None = None) -> Decoded:
        """Decode a read container. Lost tiles are allowed only where it was read with `allow_partial`.

        Raises CorruptStreamError, DesyncError.
        """
        header, tiles = stream.header, stream.payloads(TILE)
        stream.require_known({TILE, ROI})
        if header.media != "image" or header.colour != container.Colour():
            raise container.UnsupportedError(
                "codec 'image' holds 8-bit RGB pictures and this stream claims other contents: update calotype"
            )
        tile = tile_side(header)
        grid, watch = Grid.of(header.height, header.width, tile), Stopwatch()
        if not tiles:
            raise CorruptStreamError("no whole tile precedes the damage: nothing can be shown")
        if len(tiles) > len(grid) or (len(tiles) < len(grid) and not stream.truncated):
            raise CorruptStreamError(f"{len(tiles)} tiles where the picture has {len(grid)}: the file is damaged")
        dial = stream_dial(stream, grid)
        painter = Painter(self.bundle, grid, dial, np.empty((header.height, header.width, 3), np.uint8))
        missing = len(grid) - len(tiles)
        columns = grid.shape[1]
        for number in range(len(grid)):
            row, column = divmod(number, columns)
            y_hat = None
            if number < len(tiles):
                box = grid.box(row, column)
                _, y_hat = self.symbols(tiles[number], (box[1] - box[0], box[3] - box[2]), dial.crop(box))
                watch.lap("entropy")
            painter.add(row, column, y_hat)
            watch.lap("network")
            if progress:
                progress(number + 1, len(grid))
        icc = stream.payloads(ICC)
        return Decoded(painter.picture(), bytes(icc[0]) if icc else None, missing, watch.seconds)

    def symbols(
        self, payload: bytes | memoryview, shape: tuple[int, int], dial: Dial, past: Past | None = None
    ) -> tuple[list[np.ndarray], np.ndarray]:
        """Decode one tile's payload to its symbols (z, then step by step) and y_hat (h, w, M) in 1/16.

        shape: (h, w) in latents; past: as of `encode_frame`. Raises CorruptStreamError where the stream does not end as it
        must, DesyncError where the symbols are not those that were encoded.
        """
        if len(payload) < container.SYMBOL_HASH_BYTES:
            raise CorruptStreamError("a tile is too short to be one: the file is damaged")
        bundle, (h, w) = self.bundle, shape
        prior, y_bank = past.stem if past else (bundle.prior, bundle.y_bank)
        expected, decoder = (
            bytes(payload[: container.SYMBOL_HASH_BYTES]),
            RansDecoder(bytes(payload[container.SYMBOL_HASH_BYTES :])),
        )
        z_shape = (-(-h // 4), -(-w // 4), bundle.config.side)
        z = decoder.pull(bundle.z_bank, _z_indices(z_shape)).reshape(z_shape)
        if np.abs(z.astype(np.int64)).max() > Z_MAX:
            raise CorruptStreamError("a side latent is out of range: the file is damaged")
        coded, pulled = [z], []

        def ahead(indices: list[np.ndarray]) -> None:
            flat = decoder.pull(y_bank, np.concatenate([i.reshape(-1) for i in indices]), scale_indexed=True)
            ends = np.cumsum([i.size for i in indices])[:-1]
            pulled.extend(part.reshape(i.shape) for part, i in zip(np.split(flat, ends), indices, strict=True))

        def code(mean: np.ndarray, index: np.ndarray, step: int) -> np.ndarray:
            if not pulled:
                symbols = decoder.pull(y_bank, index.reshape(-1), scale_indexed=True).reshape(index.shape)
            coded.append(pulled[step] if pulled else symbols)
            return coded[-1]

        y_hat = prior.walk(z, shape, dial.quality, code, ahead, past and past.temporal)
        decoder.finish()
        container.check_symbols(expected, coded)
        return coded, y_hat


def kept_bits(bank: TableBank, symbols: np.ndarray, indices: np.ndarray, scale_indexed: bool) -> float:
    """Ideal code length of symbols, those that the stream skips not counted."""
    kept = indices >= SKIP if scale_indexed else slice(None)
    return float(bank.bits(symbols[kept], indices[kept]).sum())


def _z_indices(shape: tuple[int, ...]) -> np.ndarray:
    """Table index of each z symbol: its channel."""
    return np.broadcast_to(np.arange(shape[-1], dtype=np.uint16), shape).reshape(-1).copy()


def tile_side(header: Header) -> int:
    """Side of the tiles of an image stream, in pixels. Raises CorruptStreamError for one that no encoder writes."""
    width, height = (header.params.get(k, TILE_SIDE) for k in ("tile_width", "tile_height"))
    if width != height or width % PAD or not TILE_MIN <= width <= TILE_MAX:
        raise CorruptStreamError(f"tiles of {width}x{height} pixels are none that this codec writes: the file is damaged")
    return width


def stream_dial(stream: Container, grid: Grid) -> Dial:
    """The quality of an image stream. Raises CorruptStreamError."""
    q = stream.header.params.get("quality_deci")
    if q is None or q > QUALITY_MAX:
        raise CorruptStreamError("the header states no quality: the file is damaged")
    maps = stream.payloads(ROI)
    if len(maps) > 1:
        raise CorruptStreamError("more than one map of qualities: the file is damaged")
    return Dial.from_bytes(maps[0], grid.height, grid.width) if maps else Dial((q,))


def iter_tiles(stream: Container) -> Iterator[tuple[bytes | memoryview, tuple[int, int], Dial]]:
    """(payload, (h, w) in latents, quality) of each tile of an image stream. Raises CorruptStreamError."""
    grid = Grid.of(stream.header.height, stream.header.width, tile_side(stream.header))
    if len(stream.payloads(TILE)) > len(grid):
        raise CorruptStreamError("more tiles than the picture has: the file is damaged")
    dial = stream_dial(stream, grid)
    for number, payload in enumerate(stream.payloads(TILE)):
        box = grid.box(*divmod(number, grid.shape[1]))
        yield payload, (box[1] - box[0], box[3] - box[2]), dial.crop(box)
