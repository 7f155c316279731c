"""What every codec checks of what it is asked to encode, and the header of a picture."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np

from ..errors import CorruptStreamError, UsageError
from .container import TILE, Container
from .header import Colour, Header, UnsupportedError

DAY = 24 * 60  # minutes


class Model(Protocol):
    """A model as a file names it."""

    name: str
    hash: bytes


def check_pixels(pixels: np.ndarray) -> None:
    """Raises UsageError unless they are (H, W, 3) uint8."""
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8 or 0 in pixels.shape:
        raise UsageError(f"expected (H, W, 3) uint8 pixels, got {pixels.shape} {pixels.dtype}")


def tenths(quality: float) -> int:
    """Quality 0..100 in tenths. Raises UsageError for others."""
    if not 0 <= quality <= 100:
        raise UsageError(f"quality {quality}: give 0 (smallest) to 100 (best)")
    return round(quality * 10)


def check_fit(effort: int | None, most: int, minutes: float | None = None) -> None:
    """Raises UsageError for efforts other than 0 to `most`, and minutes that are none; None is not asked for."""
    if effort is not None and not 0 <= effort <= most:
        raise UsageError(f"effort {effort}: give 0 (fastest) to {most}")
    if minutes is not None and not 0 < minutes <= DAY:
        raise UsageError(f"{minutes:g} minutes: give more than 0, at most a day")


def picture_header(codec: str, model: Model, height: int, width: int, params: Mapping[str, int]) -> Header:
    """Of an 8-bit RGB picture; the model's name begins with the codec's."""
    return Header(
        media="image",
        codec=codec,
        model=model.name.removeprefix(codec + "-"),
        model_hash=model.hash[:8],
        width=width,
        height=height,
        params=params,
    )


def one_tile(stream: Container, codec: str) -> bytes | memoryview:
    """The payload of a codec whose 8-bit RGB pictures are one chunk. Raises CorruptStreamError, UnsupportedError."""
    header, tiles = stream.header, stream.payloads(TILE)
    stream.require_known({TILE})
    if header.media != "image" or header.colour != Colour():
        raise UnsupportedError(
            f"codec '{codec}' holds 8-bit RGB pictures and this stream claims other contents: update calotype"
        )
    foreign = header.params.keys() & {"tile_width", "tile_height", "tile_overlap", "pad"}
    if foreign:
        raise CorruptStreamError(f"codec '{codec}' has no parameter {min(foreign)}: the file is damaged")
    if not tiles:
        raise CorruptStreamError("the one chunk of the picture is not whole: nothing can be shown; get the file again")
    if len(tiles) > 1:
        raise CorruptStreamError(f"{len(tiles)} chunks where codec '{codec}' has one: the file is damaged")
    return tiles[0]
