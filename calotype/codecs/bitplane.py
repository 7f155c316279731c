"""Pictures bit for bit by a network of their own (docs/FORMAT.md, section 5.10), which says how probable each bit is.

    pixels --fitting (bitplanefitting.py, torch)--> network in integers --weight coder--> the chunk's first part
    bits of plane D - 1, ..., 0 of each channel + network's logits --adaptive correction, binary coder--> its second part

Source: Han et al., "Towards Lossless Implicit Neural Representation via Bit Plane Decomposition" (2025, arXiv 2502.21001);
what is taken and what differs is at the head of models/neural/bitplane.py. The file has weights and bits, so its size tells
how good the network is. Decoding needs no torch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from ..entropy import bitplanes
from ..errors import CorruptStreamError, LimitError, ModelError
from ..models.neural.bitplane import BitNet, Plan
from . import container
from .container import ICC, TILE, Chunk, Container, Header
from .header import MODEL_HASH_BYTES, decode_varint, encode_varint
from .image import Decoded, Encoded, Progress, Stopwatch
from .lossless import ORDER, blank, check_colour, of_planes, shown
from .overfit import State
from .request import check_fit

CODEC, MODEL = "inr-lossless", "bitplane.1"
EFFORT, MAX_EFFORT = 4, 9
PIXELS_MAX = 1 << 24  # decoding holds some 50 bytes of each
STRIP = 1 << 14  # places whose bits are guessed at once
_NUMBERS = 4  # of a plan

Coder = Callable[[np.ndarray | None, np.ndarray, int], np.ndarray]


@dataclass(frozen=True)
class BitplaneCodec:
    """effort: steps of fitting, 0 to 9; by default 4, or 9 where there are minutes, which end the fit. Raises UsageError."""

    effort: int | None = None
    minutes: float | None = None
    device: str = "cpu"

    dial = False

    def __post_init__(self) -> None:
        check_fit(self.effort, MAX_EFFORT, self.minutes)

    def encode(self, pixels: np.ndarray, icc: bytes | None = None, report: Callable[[State], None] | None = None) -> Encoded:
        """Encode pixels, (H, W) grey or (H, W, 3) RGB, uint8 or uint16. Ctrl-C ends the fit, and what it has is encoded.

        report: told of the fit. Raises UsageError, LimitError for more than 2**24 pixels.
        """
        from .bitplanefitting import fit

        planes, colour = of_planes(pixels)
        height, width = pixels.shape[:2]
        _check_size(height, width)
        watch = Stopwatch()
        samples = np.ascontiguousarray(planes[:, :, ORDER[planes.shape[2]]], np.int32)
        effort = self.effort if self.effort is not None else EFFORT if self.minutes is None else MAX_EFFORT
        net = fit(samples, colour.depth, effort, self.minutes, self.device, report)
        watch.lap("network")
        weights, symbols, bits = net.write()
        coder = bitplanes.PlaneEncoder(width, samples.shape[2] * colour.depth)

        def code(wanted: np.ndarray | None, logits: np.ndarray, plane: int) -> np.ndarray:
            assert wanted is not None
            coder.encode(wanted, logits, plane)
            return wanted

        _walk(net, (height, width), code, samples)
        head = b"".join(map(encode_varint, (*net.plan.numbers(), len(weights))))
        stream = coder.finish()
        payload = container.symbol_hash([*symbols, samples]) + head + weights + stream
        watch.lap("entropy")
        header = Header(
            media="image",
            codec=CODEC,
            model=MODEL,
            model_hash=_rules_hash(),
            width=width,
            height=height,
            colour=colour,
        )
        data = container.write(header, ([] if icc is None else [Chunk(ICC, icc)]) + [Chunk(TILE, payload)])
        return Encoded(data, 100.0, bits + 8.0 * len(stream), None, watch.seconds)

    def decode(self, stream: Container, progress: Progress | None = None) -> Decoded:
        """The pixels that were encoded, of their shape and type. Raises CorruptStreamError, DesyncError, LimitError,
        ModelError."""
        watch = Stopwatch()
        pixels = _pixels(stream.header, _symbols(stream, progress)[0])
        watch.lap("entropy")
        icc = stream.payloads(ICC)
        return Decoded(pixels, bytes(icc[0]) if icc else None, 0, watch.seconds)

    def symbol_hashes(self, stream: Container) -> Iterator[bytes]:
        """The hash of the network's integers and the samples, which `decode` checks. Raises as `decode`."""
        yield split(_tile(stream))[0]

    def digests(self, stream: Container) -> dict[str, str]:
        """{"symbols": ..., "pixels": ...} as of `conformance.digests`. Raises as `decode`."""
        from .conformance import pixel_digest, symbol_digest

        samples, integers = _symbols(stream)
        return {"symbols": symbol_digest([*integers, samples]), "pixels": pixel_digest(_pixels(stream.header, samples))}


def split(payload: bytes | memoryview) -> tuple[bytes, Plan, memoryview, memoryview]:
    """(symbol hash, plan, bytes of the network, of the bits). Raises CorruptStreamError."""
    view, at, numbers = memoryview(payload), container.SYMBOL_HASH_BYTES, []
    for _ in range(_NUMBERS + 1):
        number, at = decode_varint(view, at, 32)
        numbers.append(number)
    length = numbers.pop()
    if length > len(view) - at:
        raise CorruptStreamError("a picture's network is longer than its chunk: the file is damaged")
    return bytes(view[: container.SYMBOL_HASH_BYTES]), Plan(*numbers), view[at : at + length], view[at + length :]


def _symbols(stream: Container, progress: Progress | None = None) -> tuple[np.ndarray, list[np.ndarray]]:
    """int32 samples (H, W, channels) in the order that they are coded in, and the network's integers."""
    header = stream.header
    expected, plan, weights, rest = split(_tile(stream))
    height, width, depth = header.height, header.width, header.colour.depth
    channels = 1 if header.colour.chroma == "400" else 3
    net, integers = BitNet.read(weights, plan.checked(height, width), channels, depth)
    coder = bitplanes.PlaneDecoder(rest, width, channels * depth)
    samples = _walk(net, (height, width), lambda _, logits, plane: coder.decode(logits, plane), progress=progress)
    coder.finish()
    container.check_symbols(expected, [*integers, samples])
    return samples, integers


def _pixels(header: Header, samples: np.ndarray) -> np.ndarray:
    pixels = blank(header)
    pixels[:, :, ORDER[pixels.shape[2]]] = samples
    return shown(pixels)


def _walk(
    net: BitNet, size: tuple[int, int], code: Coder, samples: np.ndarray | None = None, progress: Progress | None = None
) -> np.ndarray:
    """Go through all bits in the order of coding: the samples (H, W, channels) that they make. code: is given the bits of
    `samples`, their logits and the plane's number, and returns the bits."""
    (height, width), channels = size, len(net.heads)
    known = np.zeros((height, width, channels), np.int32)
    rows = max(STRIP // width, 1)
    strips = [slice(top, min(top + rows, height)) for top in range(0, height, rows)]
    places = np.empty((height, width, channels + net.plan.features), np.int16)
    for number in range(net.depth * channels):
        bit, channel = net.depth - 1 - number // channels, number % channels
        plane = np.empty((height, width), np.uint8)  # no logit sees its own plane
        for strip in strips:
            if not number:  # and not before: a file that lies about its size ends with its first rows
                places[strip] = net.places(height, width, strip)
            logits = net.logits(known, strip, places[strip], channel, bit)
            wanted = None if samples is None else (samples[strip, :, channel] >> bit & 1).astype(np.uint8)
            plane[strip] = code(wanted, logits, channel * net.depth + bit)
        known[:, :, channel] |= plane.astype(np.int32) << bit
        if progress:
            progress(number + 1, net.depth * channels)
    return known


def _tile(stream: Container) -> bytes | memoryview:
    """The one payload. Raises CorruptStreamError, LimitError, ModelError."""
    header, tiles = stream.header, stream.payloads(TILE)
    stream.require_known({TILE})
    check_colour(header)
    if header.model != MODEL or header.model_hash != _rules_hash():
        raise ModelError(
            f"the stream needs the network '{header.model}' {header.model_hash.hex()} of '{CODEC}': update calotype"
        )
    foreign = header.params.keys() & {"quality_deci", "tile_width", "tile_height", "tile_overlap", "pad"}
    if foreign:
        raise CorruptStreamError(f"codec '{CODEC}' has no parameter {min(foreign)}: the file is damaged")
    _check_size(header.height, header.width)
    if not tiles:
        raise CorruptStreamError("the one chunk of the picture is not whole: nothing can be shown; get the file again")
    if len(tiles) > 1:
        raise CorruptStreamError(f"{len(tiles)} chunks where codec '{CODEC}' has one: the file is damaged")
    return tiles[0]


def _check_size(height: int, width: int) -> None:
    if height * width > PIXELS_MAX:
        raise LimitError(
            f"a picture of {width} x {height} pixels is over the {PIXELS_MAX} that codec '{CODEC}' holds at once: cut it, or "
            "take --lossless without --net"
        )


def _rules_hash() -> bytes:
    """Of what the network's name stands for, there is no model file: its name and the rules of the coder."""
    return hashlib.sha256(f"{CODEC} {MODEL} ".encode() + bitplanes.rules_hash()).digest()[:MODEL_HASH_BYTES]
