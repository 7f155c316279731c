"""The index of a video file: where each segment begins, so that a reader can start there. docs/FORMAT.md specifies it.

    | count varint | per segment: bytes on, frames, ticks | length of the whole chunk 4 |      (varints)
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple

from ...errors import CorruptStreamError
from ..container import END
from ..header import CRC_BYTES, decode_varint, encode_varint
from ..limits import Limits
from .chunks import ChunkSource
from .framehead import AT_FAULT, FRAME, MAX_HEAD
from .packs import MAX_PACK, PACK, decode_pack
from .timeline import Timeline, follow, follow_pack

INDEX = b"indx"
TRAILER_BYTES = 4
_END_BYTES = 8  # of the end chunk


class Segment(NamedTuple):
    """An I frame and what follows it up to the next. offset: of its I frame's chunk in the file, bytes; first: the I
    frame's place in the clip; start: when it is shown, ticks."""

    offset: int
    first: int
    start: int


class Index(NamedTuple):
    """All segments of a clip, in order; its frames and its duration in ticks."""

    segments: Sequence[Segment]
    frames: int
    duration: int

    def holding(self, frame: int) -> int:
        """Which segment has frame number `frame` of the clip."""
        return bisect_right(self.segments, frame, key=lambda segment: segment.first) - 1

    def at(self, tick: int) -> int:
        """Which segment is shown at a tick, 0 or later."""
        return bisect_right(self.segments, tick, key=lambda segment: segment.start) - 1


def encode_index(index: Index) -> bytes:
    """The payload of the `indx` chunk."""
    out = bytearray(encode_varint(len(index.segments)))
    offset = 0
    for segment, after in zip(index.segments, [*index.segments[1:], Segment(0, index.frames, index.duration)], strict=True):
        out += encode_varint(segment.offset - offset)
        out += encode_varint(after.first - segment.first)
        out += encode_varint(after.start - segment.start)
        offset = segment.offset
    size = len(out) + TRAILER_BYTES
    whole = len(INDEX) + len(encode_varint(size)) + size + CRC_BYTES
    return bytes(out) + whole.to_bytes(TRAILER_BYTES, "little")


def decode_index(payload: memoryview, limits: Limits) -> Index:
    """Raises CorruptStreamError (cut, another spelling, not ascending), LimitError. Whether it fits the file is not checked."""
    count, at = decode_varint(payload, 0, 32)
    limits.check_video(0, count)
    segments: list[Segment] = []
    offset = first = start = 0
    for _ in range(count):
        further, at = decode_varint(payload, at, 64)
        frames, at = decode_varint(payload, at, 32)
        ticks, at = decode_varint(payload, at, 64)
        if not further or not frames:
            raise CorruptStreamError(f"the index makes no sense: {AT_FAULT}")
        offset += further
        segments.append(Segment(offset, first, start))
        first, start = first + frames, start + ticks
    index = Index(segments, first, start)
    if not segments or encode_index(index) != payload:
        raise CorruptStreamError(f"the index makes no sense: {AT_FAULT}")
    return index


def find_index(chunks: ChunkSource, begin: int) -> Index | None:
    """The index from its place before the end chunk; None where there is no whole one. begin: offset of the first chunk.

    The position is lost. Raises LimitError.
    """
    end = chunks.size() - _END_BYTES
    trailer = end - CRC_BYTES - TRAILER_BYTES
    if trailer < begin:
        return None
    try:
        chunks.go(trailer)
        at = end - int.from_bytes(chunks.pull(TRAILER_BYTES), "little")
        if not begin <= at <= trailer:
            return None
        chunks.go(at)
        start = chunks.start()
        if start.kind != INDEX or start.end != end:
            return None
        chunks.go(at)
        return decode_index(memoryview(chunks.read().payload), chunks.limits)
    except CorruptStreamError:
        return None


def scan(chunks: ChunkSource, begin: int, allow_partial: bool) -> Index:
    """The index from the heads of all chunks, whose payloads are passed over; with `allow_partial` up to the first damage.

    The position is lost. Raises CorruptStreamError, LimitError.
    """
    size, timeline = chunks.size(), Timeline(chunks.header)
    segments: list[Segment] = []
    chunks.go(begin)
    try:
        while (start := chunks.start()).kind != END:
            if start.end > size:
                raise CorruptStreamError(f"the file was cut short: it ends after {size} bytes; get it again")
            if start.kind == PACK:
                chunks.limits.check_payload(0, start.length)
                frames = decode_pack(memoryview(chunks.pull(min(start.length, MAX_PACK + 1))))[1]
                follow_pack(timeline, frames, f"at byte {start.at}")
            elif start.kind == FRAME:
                payload = memoryview(chunks.pull(min(start.length, MAX_HEAD)))
                if follow(timeline, payload, f"at byte {start.at}")[0].kind == "I":
                    segments.append(Segment(start.at, timeline.first, timeline.start))
                    chunks.limits.check_video(timeline.frames, len(segments))
            chunks.go(start.end)
    except CorruptStreamError:
        if not allow_partial:
            raise
    return Index(segments, timeline.frames, timeline.duration)
