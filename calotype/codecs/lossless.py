"""The lossless codec: pictures bit for bit, without a learned model (docs/FORMAT.md, section 5.5).

    pixels -> stripes of rows -> prediction and context mixing (entropy/pixels.py) -> one chunk a stripe

Stripes are independent, so that memory is bounded and damage costs its stripe only.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..entropy.pixels import PixelDecoder, PixelEncoder, rules_hash
from ..errors import CorruptStreamError, ModelError, UsageError
from . import container
from .container import ICC, TILE, Chunk, Colour, Container, Header
from .image import Decoded, Encoded, Progress, Stopwatch

CODEC = "lossless"
MODEL = "pixels.1"  # the coder's tables and rules; there is no model file
STRIPE = 1 << 20  # most pixels of a stripe that the encoder makes
ORDER = {1: (0,), 3: (1, 0, 2)}  # green first: it tells most of the others


class LosslessCodec:
    """Encodes and decodes pictures without loss. It has no settings."""

    dial = False

    def encode(self, pixels: np.ndarray, icc: bytes | None = None, progress: Progress | None = None) -> Encoded:
        """Encode pixels, (H, W) grey or (H, W, 3) RGB, uint8 or uint16. Raises UsageError."""
        planes, colour = of_planes(pixels)
        height, width = pixels.shape[:2]
        depth, rows, watch = colour.depth, min(height, max(1, STRIPE // width)), Stopwatch()
        params = {} if rows == height else {"tile_height": rows}
        chunks = [] if icc is None else [Chunk(ICC, icc)]
        starts = range(0, height, rows)
        for number, start in enumerate(starts):
            chunks.append(Chunk(TILE, _encode(planes[start : start + rows], depth)))
            if progress:
                progress(number + 1, len(starts))
        watch.lap("entropy")
        header = Header(
            media="image",
            codec=CODEC,
            model=MODEL,
            model_hash=rules_hash()[:8],
            width=width,
            height=height,
            colour=colour,
            params=params,
        )
        data = container.write(header, chunks)
        return Encoded(data, 100.0, 8.0 * sum(len(chunk.payload) for chunk in chunks), None, watch.seconds)

    def decode(self, stream: Container, progress: Progress | None = None) -> Decoded:
        """The pixels that were encoded, of their shape and type; lost stripes, grey, only where the container was read with
        `allow_partial`. Raises CorruptStreamError, DesyncError, ModelError."""
        header, watch = stream.header, Stopwatch()
        rows, count, tiles = _layout(stream)
        pixels = blank(header)
        for number, payload in enumerate(tiles):
            _decode(payload, pixels[number * rows : (number + 1) * rows], header.colour.depth)
            if progress:
                progress(number + 1, count)
        watch.lap("entropy")
        icc = stream.payloads(ICC)
        return Decoded(shown(pixels), bytes(icc[0]) if icc else None, count - len(tiles), watch.seconds)

    def symbol_hashes(self, stream: Container) -> Iterator[bytes]:
        """The hash of the samples of each stripe, which `decode` checks. Raises as `decode`."""
        for payload in _layout(stream)[2]:
            yield bytes(payload[: container.SYMBOL_HASH_BYTES])


def of_planes(pixels: np.ndarray) -> tuple[np.ndarray, Colour]:
    """(H, W, 1 or 3) and the header's colour, of pixels as `encode` takes them. Raises UsageError for others."""
    grey = pixels.ndim == 2
    shaped = pixels.size and (grey or (pixels.ndim == 3 and pixels.shape[2] == 3))
    if not shaped or pixels.dtype not in (np.uint8, np.uint16):
        raise UsageError(f"expected (H, W) or (H, W, 3) pixels of uint8 or uint16, got {pixels.shape} {pixels.dtype}")
    return pixels.reshape(*pixels.shape[:2], -1), Colour(chroma="400" if grey else "444", depth=8 * pixels.dtype.itemsize)


def check_colour(header: Header) -> None:
    """Raise UnsupportedError where it is none of `of_planes`."""
    if header.media != "image" or header.colour not in [Colour(chroma=c, depth=d) for c in ("400", "444") for d in (8, 16)]:
        raise container.UnsupportedError(
            f"codec '{header.codec}' holds RGB and grey pictures of 8 or 16 bits and this stream claims others: update calotype"
        )


def blank(header: Header) -> np.ndarray:
    """A grey picture (H, W, 1 or 3) of the header's size and depth."""
    planes, depth = (1 if header.colour.chroma == "400" else 3), header.colour.depth
    return np.full((header.height, header.width, planes), 1 << (depth - 1), np.uint8 if depth == 8 else np.uint16)


def shown(planes: np.ndarray) -> np.ndarray:
    """Pixels as they were given, (H, W) of one plane."""
    return planes[:, :, 0] if planes.shape[2] == 1 else planes


def _layout(stream: Container) -> tuple[int, int, list[bytes | memoryview]]:
    """Rows of a stripe, how many stripes the picture has, payloads of those that are there."""
    header = stream.header
    stream.require_known({TILE})
    check_colour(header)
    if header.model != MODEL or header.model_hash != rules_hash()[: len(header.model_hash)]:
        raise ModelError(f"the stream needs the lossless coder '{header.model}' {header.model_hash.hex()}: update calotype")
    foreign = header.params.keys() & {"quality_deci", "tile_width", "tile_overlap", "pad"}
    rows = header.params.get("tile_height", header.height)
    if foreign or rows > header.height or ("tile_height" in header.params and rows == header.height):
        raise CorruptStreamError("the header's parameters are none of codec 'lossless': the file is damaged")
    tiles, count = stream.payloads(TILE), -(-header.height // rows)
    if not tiles:
        raise CorruptStreamError("no whole stripe precedes the damage: nothing can be shown; get the file again")
    if len(tiles) > count or (len(tiles) < count and not stream.truncated):
        raise CorruptStreamError(f"{len(tiles)} stripes where the picture has {count}: the file is damaged")
    return rows, count, tiles


def _encode(pixels: np.ndarray, depth: int) -> bytes:
    """A stripe (h, w, planes): its payload."""
    planes = pixels.shape[2]
    encoder, rows = PixelEncoder(pixels.shape[1], planes, depth), []
    for row in pixels:
        rows.append(np.ascontiguousarray(row[:, ORDER[planes]], np.int32))
        encoder.encode(rows[-1])
    return container.symbol_hash(rows) + encoder.finish()


def _decode(payload: bytes | memoryview, pixels: np.ndarray, depth: int) -> None:
    """Fill a stripe (h, w, planes)."""
    size, planes = container.SYMBOL_HASH_BYTES, pixels.shape[2]
    if len(payload) < size:
        raise CorruptStreamError("a stripe is too short to be one: the file is damaged")
    decoder, rows = PixelDecoder(payload[size:], pixels.shape[1], planes, depth), []
    for y in range(len(pixels)):
        rows.append(decoder.decode())
        pixels[y][:, ORDER[planes]] = rows[-1]
    decoder.finish()
    container.check_symbols(payload[:size], rows)
