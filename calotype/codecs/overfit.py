"""The overfitted codec: a picture carries latents that were fitted to it, and its own networks (docs/FORMAT.md, section 5.6).

    pixels -> fitting (overfitting.py, torch) -> latents, differences to the shipped networks -> one chunk
    chunk  -> networks -> latents by the prior, integers -> lifting, filter, colours, integers -> pixels

Source: Ladune et al., "COOL-CHIC" (arXiv 2212.05458); Kim et al., "C3" (arXiv 2312.02753). Different: see models/overfit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..errors import CorruptStreamError, LimitError
from ..models.overfit import layout, prior
from ..models.overfit.bundle import OverfitBundle
from ..models.overfit.side import STEP_TOP, Side
from . import container
from .container import ICC, TILE, Chunk, Container
from .header import decode_varint, encode_varint
from .image import Decoded, Encoded, Progress, Stopwatch
from .request import check_fit, check_pixels, one_tile, picture_header, tenths
from .roi import Roi

CODEC = "overfit"
EFFORT, MAX_EFFORT = 4, 9
PIXELS_MAX = 1 << 24  # padded; decoding takes some 70 bytes a pixel
_STEP_BYTES = 2


class State(NamedTuple):
    """How far a fit is: dB (None: lossless) and bits a pixel of the best so far; done of total starts and rounds;
    seconds so far, left."""

    db: float | None
    bpp: float
    done: int
    total: int
    seconds: float
    left: float


Report = Callable[[State], None]


@dataclass(frozen=True)
class Fitted:
    """What a fit gives: latents in the order of `layout.order`, the side information, ideal bits of the latents; whether Ctrl-C
    ended it."""

    grids: list[np.ndarray]
    side: Side
    bits: float
    stopped: bool = False


class OverfitCodec:
    """Encodes and decodes pictures with their own networks. Not safe for use by several threads at once."""

    fits = True

    def __init__(self, bundle: OverfitBundle, effort: int | None = None, minutes: float | None = None):
        """effort: starts and rounds of fitting, 0 (seconds) to 9, by default 4, or 9 where there are minutes; minutes: at most
        so long. Raises UsageError."""
        if effort is None:
            effort = EFFORT if minutes is None else MAX_EFFORT
        check_fit(effort, MAX_EFFORT, minutes)
        self.bundle, self.effort, self.minutes = bundle, effort, minutes
        self.stopped = False  # whether Ctrl-C ended the last fit

    # ---- encode

    def encode(
        self,
        pixels: np.ndarray,
        quality: float = 50.0,
        icc: bytes | None = None,
        reconstruct: bool = False,
        progress: Progress | None = None,
        report: Report | None = None,
        roi: Roi | None = None,
    ) -> Encoded:
        """Encode pixels (H, W, 3) uint8 RGB at quality 0..100 (steps of 0.1). Ctrl-C ends the fit, and what it has is encoded.

        report: told of the fit after each round. roi: where in the picture to spend the bits. Raises UsageError, LimitError for
        more than 2**24 pixels.
        """
        check_pixels(pixels)
        from .overfitting import fit

        height, width = pixels.shape[:2]
        sides, watch, deci = _padded(height, width), Stopwatch(), tenths(quality)

        def told(state: State) -> None:
            if progress:
                progress(state.done, state.total)
            if report:
                report(state)

        fitted = fit(self.bundle, pixels, deci, self.effort, self.minutes, told, roi and roi.checked(pixels))
        self.stopped = fitted.stopped
        watch.lap("network")
        payload, bits = to_payload(self.bundle, fitted, sides)
        watch.lap("entropy")
        header = picture_header(CODEC, self.bundle, height, width, {"quality_deci": deci})
        data = container.write(header, ([] if icc is None else [Chunk(ICC, icc)]) + [Chunk(TILE, payload)])
        picture = fitted.side.applied(self.bundle)[1](fitted.grids, height, width) if reconstruct else None
        watch.lap("network")
        return Encoded(data, deci / 10, bits, picture, watch.seconds)

    # ---- decode

    def decode(self, stream: Container, progress: Progress | None = None) -> Decoded:
        """Decode a read container. Raises CorruptStreamError, DesyncError, LimitError."""
        header, watch = stream.header, Stopwatch()
        payload = one_tile(stream, CODEC)
        grids, side = self._latents(payload, header.height, header.width)
        watch.lap("entropy")
        picture = side.applied(self.bundle)[1](grids, header.height, header.width)
        watch.lap("network")
        if progress:
            progress(1, 1)
        icc = stream.payloads(ICC)
        return Decoded(picture, bytes(icc[0]) if icc else None, 0, watch.seconds)

    def symbol_hashes(self, stream: Container) -> Iterator[bytes]:
        """The hash of the latents, decoded. Raises as `decode`."""
        decoded = self._latents(one_tile(stream, CODEC), stream.header.height, stream.header.width)
        yield container.symbol_hash(symbols(self.bundle, *decoded))

    def digests(self, stream: Container) -> dict[str, str]:
        """{"symbols": ..., "pixels": ...} as of `conformance.digests`. Raises as `decode`."""
        from .conformance import pixel_digest, symbol_digest

        header = stream.header
        grids, side = self._latents(one_tile(stream, CODEC), header.height, header.width)
        pixels = side.applied(self.bundle)[1](grids, header.height, header.width)
        return {"symbols": symbol_digest(symbols(self.bundle, grids, side)), "pixels": pixel_digest(pixels)}

    def _latents(self, payload: bytes | memoryview, height: int, width: int) -> tuple[list[np.ndarray], Side]:
        return from_payload(self.bundle, payload, _padded(height, width))


def to_payload(bundle: OverfitBundle, fitted: Fitted, sides: tuple[int, int]) -> tuple[bytes, float]:
    """A fit of a padded picture as bytes, and its estimated bits."""
    coded = prior.encode(fitted.side.applied(bundle)[0], fitted.grids, fitted.side.present, *sides)
    side = fitted.side.to_bytes()
    step = fitted.side.step.to_bytes(_STEP_BYTES, "little")
    head = container.symbol_hash(symbols(bundle, coded.values, fitted.side)) + step + encode_varint(len(side))
    return head + side + coded.data, coded.bits + 8 * len(side)


def from_payload(bundle: OverfitBundle, payload: bytes | memoryview, sides: tuple[int, int]) -> tuple[list[np.ndarray], Side]:
    """Latents and side information of `to_payload`. Raises CorruptStreamError, DesyncError."""
    expected, step, side, rest = split(payload)
    own = Side.from_bytes(step, bytes(side), bundle.synthesis.classes is not None, bundle.counts)
    grids = prior.decode(own.applied(bundle)[0], rest, own.present, *sides)
    # for some hours encoders with `overfit-s.4` hashed which networks differ, too: such files are whole
    if not own.strengths or container.symbol_hash([*grids, own.numbers(told=True)]) != expected:
        container.check_symbols(expected, symbols(bundle, grids, own))
    return grids, own


def symbols(bundle: OverfitBundle, grids: list[np.ndarray], side: Side) -> list[np.ndarray]:
    """What the hash of a picture covers: its latents and, where the start has filters by class, all else that it states."""
    return [*grids, side.numbers(bundle.coarse)] if side.strengths else grids


def split(payload: bytes | memoryview) -> tuple[bytes, int, memoryview, memoryview]:
    """(symbol hash, step in 1/64 level, bytes of the picture's own networks, of its latents). Raises CorruptStreamError."""
    view, at = memoryview(payload), container.SYMBOL_HASH_BYTES
    if len(view) < at + _STEP_BYTES + 1:
        raise CorruptStreamError("a picture's chunk is too short to be one: the file is damaged")
    step = int.from_bytes(view[at : at + _STEP_BYTES], "little")
    length, at = decode_varint(view, at + _STEP_BYTES, 32)
    if not 1 <= step <= STEP_TOP or length > len(view) - at:
        raise CorruptStreamError("a picture's step or networks are out of range: the file is damaged")
    return bytes(view[: container.SYMBOL_HASH_BYTES]), step, view[at : at + length], view[at + length :]


def _padded(height: int, width: int) -> tuple[int, int]:
    """Sides of the padded picture. Raises LimitError where it takes too much memory."""
    sides = layout.padded(height, width)
    if sides[0] * sides[1] > PIXELS_MAX:
        raise LimitError(
            f"a picture of {width} x {height} pixels is over the {PIXELS_MAX} that codec 'overfit' holds at once: scale or cut "
            "it, or take an image model, which works in tiles"
        )
    return sides
