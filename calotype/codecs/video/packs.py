"""Several small frames in one chunk, with one checksum, symbol hash and stream: some 16 bytes less for each.

    Pack: joint symbol hash 4 | frame+       frame: | length varint | head | the codec's bytes without their symbol hash |

Of the codec's bytes, the first frame's hold the stream of all, the others' what stands before it; codecs that have not all
their symbols in rANS keep a stream each. A reader gives out none of a pack's frames before the joint hash is right.
docs/FORMAT.md specifies it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from threading import Condition
from typing import NamedTuple

from crc32c import crc32c

from ...entropy import RansDecoder, RansEncoder
from ...errors import CorruptStreamError, DesyncError
from ..container import SYMBOL_HASH_BYTES, Chunk
from ..header import decode_varint, encode_varint
from .framehead import AT_FAULT, FRAME, FrameHead
from .timeline import Timeline, follow, follow_pack

PACK = b"Pack"
MAX_PACK, MAX_FRAMES = 65536, 32  # bytes of a pack's payload, and its frames: readers hold all of them
LARGE = 2048  # bytes of a frame from which 16 are not worth the wait
JOINT = 8  # in the first of the codec's bytes: the frame's symbols go on in the stream that the pack's first one began
SAVED = SYMBOL_HASH_BYTES + 6 - 4  # bytes of hash, stream's head and state, less length and share of the pack's, for one of 8
FULL_BYTES, FULL_FRAMES = 4096, 8  # of a pack that a writer ends; what damage takes at once, and how long a viewer waits


class Part(NamedTuple):
    """A frame for a pack. payload: the codec's bytes as they are outside of one: symbol hash 4, block 1, stream; symbols: of
    that stream, not finished, or None of a codec that joins none; skip: to finish it."""

    payload: bytes | memoryview
    symbols: RansEncoder | None = None
    skip: int = 0


def joined(parts: Sequence[Part]) -> list[bytes]:
    """The codec's bytes of each frame in one pack, without symbol hashes."""
    stream = RansEncoder()
    for part in parts:
        if part.symbols is None:
            return [bytes(part.payload[SYMBOL_HASH_BYTES:]) for part in parts]
        stream.extend(part.symbols)
    begin = [bytes([part.payload[SYMBOL_HASH_BYTES] | JOINT]) for part in parts]
    return [begin[0] + stream.finish(max(part.skip for part in parts)), *begin[1:]]


def begun(rest: bytes | memoryview, joint: RansDecoder | None = None) -> tuple[int, RansDecoder]:
    """The first of the codec's bytes of a frame without its symbol hash, and the stream that its symbols are next in. joint:
    what the frame before it in its pack goes on with. Raises CorruptStreamError."""
    if not len(rest) or (joint is not None and (len(rest) > 1 or not rest[0] & JOINT)):
        raise CorruptStreamError("a frame of a pack does not go on like the one before it: the file is damaged")
    return rest[0], joint or RansDecoder(bytes(rest[1:]))


class Joint:
    """The streams of a pack's frames while they are decoded. Each waits for its turn, which is over with its symbols; what is
    made of these may take longer."""

    def __init__(self) -> None:
        self._decoder: RansDecoder | None = None
        self._turn, self._next = Condition(), 0

    def wait(self, place: int) -> None:
        """Until all frames of the pack before that place have `passed`."""
        with self._turn:
            self._turn.wait_for(lambda: self._next >= place)

    def passed(self, place: int) -> None:
        """The frame at that place takes no more symbols, or failed."""
        with self._turn:
            self._next = max(self._next, place + 1)
            self._turn.notify_all()

    @contextmanager
    def frame(self, rest: bytes | memoryview, last: bool) -> Iterator[tuple[int, RansDecoder]]:
        """The next frame's block and stream, which is at its end with the pack's `last` frame. Raises CorruptStreamError."""
        block, decoder = begun(rest, self._decoder)
        yield block & ~JOINT, decoder
        self._decoder = decoder if block & JOINT and not last else None
        if self._decoder is None:
            decoder.finish()
        self.passed(self._next)


class Packed(NamedTuple):
    """Of a frame in a pack. joint: the pack's symbol hash. last: no frame of the pack follows."""

    joint: bytes
    last: bool


def joint_hash(hashes: Iterable[bytes]) -> bytes:
    """Of the symbol hashes of frames, 4 bytes each, in the order of coding: CRC-32C, little-endian."""
    return crc32c(b"".join(hashes)).to_bytes(SYMBOL_HASH_BYTES, "little")


def check_joint(packed: Packed, hashes: Sequence[bytes]) -> None:
    """Raises DesyncError unless a pack's frames have these symbol hashes."""
    if joint_hash(hashes) != packed.joint:
        raise DesyncError(
            "the file is undamaged, but decoding a pack of frames gave other symbols than encoding did: this machine or "
            "version decodes wrongly; please report it with the file"
        )


def encode_pack(joint: bytes, frames: Iterable[bytes]) -> bytes:
    """The payload of a pack of frames, heads and bytes without symbol hashes."""
    return joint + b"".join(encode_varint(len(frame)) + frame for frame in frames)


def decode_pack(payload: memoryview) -> tuple[bytes, list[memoryview]]:
    """The reverse of `encode_pack`. Raises CorruptStreamError."""
    joint, at = bytes(payload[:SYMBOL_HASH_BYTES]), SYMBOL_HASH_BYTES
    frames: list[memoryview] = []
    while at < len(payload):
        length, at = decode_varint(payload, at, 32)
        frames.append(payload[at : at + length])
        at += length
    if not 0 < len(frames) <= MAX_FRAMES or at != len(payload) or len(payload) > MAX_PACK:
        raise CorruptStreamError(f"a pack of frames makes no sense: {AT_FAULT}")
    return joint, frames


def frames_of(chunks: Iterable[Chunk], timeline: Timeline) -> Iterator[tuple[FrameHead, int, bytes]]:
    """Of every frame in order: its head, the bytes of head and payload, in a pack as many for each, and a symbol hash: its own,
    or with the last frame of a pack that of the pack; else none. Raises CorruptStreamError."""
    for number, (kind, payload) in enumerate(chunks, 1):
        where = f"in chunk {number} of the file"
        if kind == FRAME:
            head, at, _ = follow(timeline, memoryview(payload), where)
            yield head, len(payload), bytes(payload[at : at + SYMBOL_HASH_BYTES])
        elif kind == PACK:
            joint, frames = decode_pack(memoryview(payload))
            heads, size = follow_pack(timeline, frames, where), sum(map(len, frames))
            for place, (head, *_) in enumerate(heads, 1):
                share = place * size // len(frames) - (place - 1) * size // len(frames)
                yield head, share, joint if place == len(frames) else b""
