"""Video .calo files written and read as streams: frame by frame, from and to pipes, in memory for one chunk.

    header | preamble: iccp? audh? | Fram(I) Fram(P) audp Pack(B P ...) ... | Fram(I) ... | indx | Fend
                                   '------------- segment -----------'

A segment is an intra frame and what follows up to the next. No number, time or reference in it depends on what is outside of
it, so segments are copied as they are (splice.py). docs/FORMAT.md specifies the chunks.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import BinaryIO, NamedTuple

from ...errors import CorruptStreamError, UsageError
from ..container import END, SYMBOL_HASH_BYTES, Chunk, Pieces
from ..header import FRAMES_UNKNOWN, Header, UnsupportedError
from ..limits import Limits
from .chunks import ChunkSource
from .framehead import AT_FAULT, FRAME, FrameHead, encode_head
from .index import INDEX, Index, Segment, decode_index, encode_index, find_index, scan
from .packs import FULL_BYTES, FULL_FRAMES, LARGE, PACK, SAVED, Packed, Part, decode_pack, encode_pack, joined, joint_hash
from .timeline import Shown, Timeline, follow, follow_pack, nothing_shown

__all__ = ["AUDIO", "AUDIO_HEAD", "FRAME", "Frame", "FrameHead", "StreamReader", "StreamWriter"]

AUDIO_HEAD = b"audh"
AUDIO = b"audp"


class Frame(NamedTuple):
    """A coded frame. payload: the codec's bytes; in a pack those of `packs.joined`. segment: the segment that it is in. shown:
    the frames, this one among them or not, whose turn to be shown has come with it. packed: None outside of a pack."""

    head: FrameHead
    payload: memoryview
    segment: Segment
    shown: tuple[Shown, ...]
    packed: Packed | None = None


class _Places:
    """Where the chunks of a video may stand."""

    def __init__(self) -> None:
        self.framed = self.voiced = self.indexed = False

    def fault(self, kind: bytes) -> str | None:
        if self.indexed and kind != END:
            return "chunks follow the index"
        if kind == AUDIO_HEAD and (self.framed or self.voiced):
            return "the audio's description must be one, and stand before the first frame"
        if kind == AUDIO and not (self.framed and self.voiced):
            return "audio stands after its description and the first frame"
        if kind == PACK and not self.framed:
            return "a pack of frames stands after an intra frame"
        self.framed |= kind == FRAME
        self.voiced |= kind == AUDIO_HEAD
        self.indexed |= kind == INDEX
        return None


# ---- writing

class StreamWriter:
    """Writes a video file front to back; `close` makes it whole. As a context manager it closes unless an error passes.

    The sink need not be able to seek; it is neither flushed nor closed. What cannot be written raises UsageError.
    """

    def __init__(self, sink: BinaryIO, header: Header):
        """Writes the header. header.frames: FRAMES_UNKNOWN, or the number of frames that will come."""
        if header.media != "video":
            raise UsageError(f"a stream of frames needs a header of media 'video', not {header.media!r}")
        self._sink, self._header = sink, header
        self._pieces, self._places, self._timeline = Pieces(header), _Places(), Timeline(header)
        self._segments: list[Segment] = []
        self._at, self._coded = 0, 0  # bytes written, and of these what codecs' coders gave
        self._closed = False
        self._pending: list[tuple[bytes, Part]] = []  # heads and codec's bytes of frames that will be a pack
        self._before: FrameHead | None = None  # of the last of these
        self._put(self._pieces.head)

    @property
    def size(self) -> int:
        """Bytes written up to now. A frame that waits for its pack counts as what it will take in a full one, so that
        frames are charged alike, whatever their place in it."""
        return self._at + sum(len(head) + len(part.payload) - SAVED for head, part in self._pending)

    @property
    def framing(self) -> int:
        """Bytes written up to now that hold no symbols of frames: header, chunks' framing, heads, hashes, blocks' sizes, audio,
        index."""
        return self._at - self._coded

    @property
    def waiting(self) -> bool:
        """Whether frames wait for their pack: a chunk that is written now ends it."""
        return bool(self._pending)

    @property
    def segment_start(self) -> int:
        """The tick at which the segment begun last starts."""
        return self._timeline.start

    def frame(self, head: FrameHead, payload: bytes | memoryview, part: Part | None = None) -> tuple[Shown, ...]:
        """Write a coded frame; the frames that can be shown with it. part: of a frame that may share a chunk with others."""
        small = part is not None and len(payload) < LARGE
        shown, start = self._follow(head, self._before if small else None)
        if small:
            self._pending.append((start, part))
            self._before = head
            if len(self._pending) == FULL_FRAMES or sum(len(p.payload) for _, p in self._pending) >= FULL_BYTES:
                self._flush()
            return shown
        self._flush()
        if head.kind == "I":
            self._segments.append(Segment(self._at, self._timeline.first, self._timeline.start))
        self._coded += len(payload) - SYMBOL_HASH_BYTES - (head.kind != "I")
        self._chunk(FRAME, start + payload)
        return shown

    def pack(self, joint: bytes, frames: Sequence[tuple[FrameHead, bytes | memoryview]]) -> None:
        """Write a pack as it was read: its joint symbol hash, the frames' heads and payloads."""
        before: FrameHead | None = None
        records = []
        for head, payload in frames:
            records.append(self._follow(head, before)[1] + payload)
            before = head
        self._chunk(PACK, encode_pack(joint, records))

    def _packed(self) -> tuple[bytes, bytes]:
        """The chunk of the frames that wait: a pack, unless it is one alone."""
        heads, parts = zip(*self._pending, strict=True)
        if len(parts) == 1:
            self._coded += len(parts[0].payload) - SYMBOL_HASH_BYTES - 1
            return FRAME, heads[0] + parts[0].payload  # its hash and its stream are its own
        joint, rests = joint_hash(bytes(part.payload[:SYMBOL_HASH_BYTES]) for part in parts), joined(parts)
        self._coded += sum(len(rest) - 1 for rest in rests)
        return PACK, encode_pack(joint, (head + rest for head, rest in zip(heads, rests, strict=True)))

    def _flush(self) -> None:
        if self._pending:
            kind, payload = self._packed()
            self._pending, self._before = [], None
            self._chunk(kind, payload)

    def _follow(self, head: FrameHead, before: FrameHead | None = None) -> tuple[tuple[Shown, ...], bytes]:
        """Take the next frame, after `before` in its pack: what can be shown, and the bytes of its head."""
        expected = 0 if head.kind == "I" else self._timeline.expected
        try:
            shown = self._timeline.add(head)
        except ValueError as error:
            raise UsageError(f"cannot write this frame: {error}") from error
        if self._timeline.frames > self._header.frames:
            raise UsageError(f"the header says {self._header.frames} frames, and here is one more; give FRAMES_UNKNOWN")
        return shown, encode_head(head, expected, before)

    def audio_head(self, payload: bytes) -> None:
        """Write the description of the audio, before the first frame."""
        self.chunk(Chunk(AUDIO_HEAD, payload))

    def audio(self, payload: bytes) -> None:
        """Write audio packets, which belong to the segment begun last."""
        self.chunk(Chunk(AUDIO, payload))

    def chunk(self, chunk: Chunk) -> None:
        """Write any chunk that a reader may skip."""
        if chunk.critical or chunk.kind == INDEX:
            raise UsageError(f"chunk {chunk.kind!r} cannot be written by itself")
        self._flush()
        self._chunk(*chunk)

    def close(self) -> None:
        """Write the index and the end chunk. Frames must not be missing."""
        if self._closed:
            return
        self._flush()
        try:
            duration = self._timeline.end()
        except ValueError as error:
            raise UsageError(f"cannot end the file here: {error}") from error
        frames = self._timeline.frames
        if self._header.frames not in (frames, FRAMES_UNKNOWN):
            raise UsageError(f"the header says {self._header.frames} frames, and {frames} came; give FRAMES_UNKNOWN")
        self._chunk(INDEX, encode_index(Index(self._segments, frames, duration)))
        self._put(self._pieces.end())
        self._closed = True

    def __enter__(self) -> StreamWriter:
        return self

    def __exit__(self, kind: object, *rest: object) -> None:
        if kind is None:
            self.close()

    def _chunk(self, kind: bytes, payload: bytes | memoryview) -> None:
        fault = "the file is closed" if self._closed else self._places.fault(kind)
        if fault:
            raise UsageError(f"cannot write chunk {kind!r} here: {fault}")
        for piece in self._pieces.chunk(kind, payload):
            self._put(piece)

    def _put(self, piece: bytes | memoryview) -> None:
        self._at += len(piece)
        while len(piece):  # an unbuffered pipe may take a part
            taken = self._sink.write(piece)
            piece = piece[len(piece) if taken is None else taken :]


# ---- reading

class StreamReader:
    """Iterates over a video file in its order: a Frame each, and a Chunk for audio (AUDIO) and what else is ancillary.

    Every checksum is checked as its chunk is read, the closing one at the end, but not after a seek. What is not right raises
    CorruptStreamError there and then; with `allow_partial` the iteration ends, and `damage` says why. Limits hold all the
    same (LimitError), and so does that a file of a newer version is refused (UnsupportedError).
    """

    def __init__(self, source: BinaryIO | ChunkSource, limits: Limits | None = None, allow_partial: bool = False):
        """Reads the header, and not a byte further. source: at the file's first byte, or its chunks, after the header, with
        their own limits. Raises UsageError for a picture."""
        self._chunks = source if isinstance(source, ChunkSource) else ChunkSource(source, limits or Limits())
        self._limits, self._allow_partial = self._chunks.limits, allow_partial
        self.header = self._chunks.header
        if self.header.media != "video":
            raise UsageError("this file is a picture, not a video: decode it as one")
        if self.header.frames != FRAMES_UNKNOWN:
            self._limits.check_video(self.header.frames)
        self.damage = ""
        self._begin = self._chunks.at
        self._places, self._timeline = _Places(), Timeline(self.header)
        self._segment: Segment | None = None
        self._number = -1  # of that segment
        self._over = False
        self._index: Index | None = None
        self._preamble: tuple[Chunk, ...] | None = None
        self._ahead: Frame | None = None  # read already, and given next
        self._pack = deque[Frame]()  # the frames of the pack read last that come after that

    @property
    def seekable(self) -> bool:
        """Whether the source is no pipe."""
        return self._chunks.seekable

    @property
    def preamble(self) -> tuple[Chunk, ...]:
        """The chunks before the first frame, up to which this reads; they are not iterated over."""
        if self._preamble is None:
            chunks, size = [], 0
            while isinstance(event := self._event(), Chunk):
                chunks.append(event)
                size += len(event.payload)
                self._limits.check_chunk(len(chunks), size)  # these are kept, so they count as one
            self._preamble, self._ahead = tuple(chunks), event
        return self._preamble

    @property
    def audio_head(self) -> bytes | None:
        """The description of the audio; None where there is none."""
        return next((bytes(chunk.payload) for chunk in self.preamble if chunk.kind == AUDIO_HEAD), None)

    def __iter__(self) -> Iterator[Frame | Chunk]:
        return self

    def __next__(self) -> Frame | Chunk:
        _ = self.preamble
        event, self._ahead = self._ahead or self._event(), None
        if event is None:
            raise StopIteration
        return event

    @property
    def index(self) -> Index | None:
        """All segments, where the source can seek: from the file's index, or, without one, found by reading the heads of all
        chunks. An index is believed only until a frame is found not to fit it."""
        if self._index is None and self._chunks.seekable:
            mark = self._chunks.mark()
            try:
                self._index = find_index(self._chunks, self._begin) or scan(self._chunks, self._begin, self._allow_partial)
            finally:
                self._chunks.back(mark)
        return self._index

    @property
    def count(self) -> int | None:
        """Frames of the clip: what the header says, or the index; None for a pipe that has not ended."""
        if self.header.frames != FRAMES_UNKNOWN:
            return self.header.frames
        return self.index.frames if self.index else self._timeline.frames if self._over else None

    @property
    def duration(self) -> int | None:
        """Ticks that the clip lasts (`timeline.tick_rate`); None for a pipe that has not ended."""
        return self.index.duration if self.index else self._timeline.duration if self._over else None

    def seek(self, frame: int) -> Segment:
        """Go on at the segment that holds frame number `frame` of the clip. Raises UsageError: a pipe, no such frame."""
        index = self._need_index()
        if not 0 <= frame < index.frames:
            raise UsageError(f"there is no frame {frame}: the clip has frames 0 to {index.frames - 1}")
        return self._go(index, index.holding(frame))

    def seek_time(self, tick: int) -> Segment:
        """Go on at the segment that is shown at a tick. Raises UsageError: a pipe, before or after the clip."""
        index = self._need_index()
        if not 0 <= tick < index.duration:
            raise UsageError(nothing_shown(self.header, tick, index.duration))
        return self._go(index, index.at(tick))

    def _need_index(self) -> Index:
        if self.index is None:
            raise UsageError("a pipe cannot be read from another place: store the file first")
        return self.index

    def _go(self, index: Index, number: int) -> Segment:
        _ = self.preamble
        segment = index.segments[number]
        self._chunks.go(segment.offset)
        self._timeline = Timeline(self.header, segment.first, segment.start)
        self._number, self._over, self._places.indexed, self._ahead, self.damage = number - 1, True, False, None, ""
        self._pack.clear()
        event = self._parse()
        if not isinstance(event, Frame) or event.head.kind != "I":
            raise CorruptStreamError(f"the index names byte {segment.offset}, where no segment begins: {AT_FAULT}")
        self._ahead, self._over = event, False
        return segment

    def _event(self) -> Frame | Chunk | None:
        """What comes next; None at the end, or where damage ends what there is."""
        if self._over:
            return None
        self._over = True
        try:
            event = self._parse()
        except CorruptStreamError as error:
            if not self._allow_partial or isinstance(error, UnsupportedError):
                raise
            self.damage = str(error)
            return None
        self._over = event is None
        return event

    def _parse(self) -> Frame | Chunk | None:
        if self._pack:
            return self._pack.popleft()
        offset = self._chunks.at
        chunk = self._chunks.read()
        fault = self._places.fault(chunk.kind)
        if fault:
            raise CorruptStreamError(f"chunk at byte {offset}: {fault}: {AT_FAULT}")
        if chunk.kind == FRAME:
            return self._frame(memoryview(chunk.payload), offset)
        if chunk.kind == PACK:
            joint, payloads = decode_pack(memoryview(chunk.payload))
            heads = follow_pack(self._timeline, payloads, f"at byte {offset}")
            self._limits.check_video(self._timeline.frames)
            assert self._segment is not None
            for number, ((head, at, shown), payload) in enumerate(zip(heads, payloads, strict=True), 1):
                self._pack.append(Frame(head, payload[at:], self._segment, shown, Packed(joint, number == len(payloads))))
            return self._pack.popleft()
        if chunk.kind == INDEX:
            index = decode_index(memoryview(chunk.payload), self._limits)
            if (index.duration, index.frames) != (self._end(), self._timeline.frames):
                raise CorruptStreamError(f"the index is not that of these frames: {AT_FAULT}")
            return self._parse()
        if chunk.kind == END:
            self._end()
            if self.header.frames not in (FRAMES_UNKNOWN, self._timeline.frames):
                raise CorruptStreamError(f"the file has not as many frames as its header says: {AT_FAULT}")
            return None
        if chunk.critical:
            raise UnsupportedError(f"this Calotype does not know chunk {chunk.kind.decode()!r} of a video; use a newer version")
        return chunk

    def _frame(self, payload: memoryview, offset: int) -> Frame:
        head, at, shown = follow(self._timeline, payload, f"at byte {offset}")
        self._limits.check_video(self._timeline.frames)
        if head.kind == "I":
            self._segment = Segment(offset, self._timeline.first, self._timeline.start)
            self._number += 1
            if self._index and self._index.segments[self._number : self._number + 1] != [self._segment]:
                raise CorruptStreamError(f"the segment at byte {offset} is not what the index says: {AT_FAULT}")
        assert self._segment is not None
        return Frame(head, payload[at:], self._segment, shown)

    def _end(self) -> int:
        try:
            return self._timeline.end()
        except ValueError as error:
            raise CorruptStreamError(f"the file ends too early ({error}): {AT_FAULT}") from error
