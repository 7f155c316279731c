"""A stream back to frames, one after the other, from any intra frame on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO

from ... import threads
from ...errors import CorruptStreamError
from ...models.zoo import model_for_stream
from ..container import Chunk, UnsupportedError
from ..grid import PAD
from ..header import FIRST_ANCILLARY_KEY, PARAMS, Header
from ..limits import Limits
from ..y4m import Planes
from .audio import AudioDescription, AudioPacket, decode_packets, moved
from .chunks import ChunkSource
from .colour import codable
from .framecodecs import FRAME_CODECS, ClipBundle, frame_codec
from .frames import MAX_SIDE, Picture, crop
from .lookahead import Held, Lookahead
from .packs import Joint, check_joint
from .sequence import FrameSequence, VideoFrame
from .stream import AUDIO, Frame, StreamReader
from .timeline import Shown

if TYPE_CHECKING:
    from .gridframes import GridPicture


class Video(FrameSequence):
    """A video .calo file, open: iterate over it for its frames in the order they are shown, or `seek` first; `len`, and
    video[10] or video[10:20], as of `FrameSequence`.

    Use it as a context manager, or `close` it. Not safe for use by several threads at once.
    """

    def __init__(
        self,
        source: Path | BinaryIO | ChunkSource,
        limits: Limits | None = None,
        allow_partial: bool = False,
        model: str | Path | None = None,
        device: str = "cpu",
        execution: str | None = None,
        bundle: ClipBundle | None = None,
    ):
        """source: a file's path, or a binary stream at its first byte, which is not closed, or its chunks. allow_partial: end
        before a cut or damage, and say so in `damage`. model, device, execution: as for pictures; bundle: a model in their
        place. Raises CorruptStreamError, LimitError, ModelError, UsageError (a picture)."""
        self._own = Path(source).open("rb") if isinstance(source, str | Path) else None
        try:
            self.reader = StreamReader(self._own or source, limits, allow_partial)  # type: ignore[arg-type]
            header = self.header
            if header.codec not in FRAME_CODECS:
                raise UnsupportedError(f"the stream needs codec '{header.codec}', which this version lacks: update calotype")
            critical = [name for name in header.params if PARAMS[name].key < FIRST_ANCILLARY_KEY]
            chromas = FRAME_CODECS[header.codec][1].chromas
            strange = max(header.width, header.height) > MAX_SIDE or not codable(header.colour, chromas)
            if strange or critical not in ([], ["quality_deci"]):
                raise CorruptStreamError("the header says what no encoder of this codec writes: the file is damaged")
            named = header.model, header.model_hash, model, device, execution
            self.bundle: ClipBundle = bundle or model_for_stream(header.codec, *named)
            self.codec = frame_codec(self.bundle, header.colour)
            self.size = tuple(-(-side // PAD) * PAD for side in (header.height, header.width))
            self.packets: list[AudioPacket] = []
            self._until: Fraction | None = None  # seconds of sound that is wanted, once no more frames are
            self._frames = self._decoded()
            head = self.reader.audio_head
            self.audio = None if head is None else AudioDescription.from_bytes(head)
        except BaseException:
            self.close()
            raise

    @property
    def header(self) -> Header:
        """What the file says it is."""
        return self.reader.header

    @property
    def model(self) -> str:
        """The model's name."""
        return self.bundle.name

    @property
    def count(self) -> int | None:
        """Frames; None of a pipe that has not ended. header.frames may be FRAMES_UNKNOWN in its place: a header is written
        before the last frame comes."""
        return self.reader.count

    @property
    def damage(self) -> str:
        """Why the frames ended early, where `allow_partial` let them; else empty."""
        return self.reader.damage

    def seek(self, number: int) -> None:
        """Go on at frame `number`: the next one that iteration gives. Decodes from the intra frame before it on. Raises
        UsageError where there is no such frame, or the source is a pipe."""
        self.reader.seek(number)
        self._until = None
        self._frames, self.packets = self._decoded(start=number), []

    def seek_time(self, tick: int) -> None:
        """Go on at the frame that is shown at a tick. Raises UsageError where none is, or the source is a pipe."""
        self.reader.seek_time(tick)
        self._until = None
        self._frames, self.packets = self._decoded(tick=tick), []

    def __iter__(self) -> Iterator[VideoFrame]:
        """The frames that have not been given yet, in the order they are shown; audio that was read on the way is in
        `packets`, for whoever takes it.

        Raises CorruptStreamError, DesyncError where they are found, after the frames before.
        """
        return self._frames

    def _decoded(self, start: int = 0, tick: int = 0) -> Iterator[VideoFrame]:
        """From frame `start` on, or from the one that is shown at `tick`."""
        waiting: dict[int, Planes] = {}
        height, width = self.header.height, self.header.width
        segment = 0
        before: VideoFrame | None = None  # the last that may be too early
        hashes: list[bytes] = []  # of the frames of a pack
        shown: list[Shown] = []  # with them
        heard: dict[int, Fraction] = {}  # of each audio stream: where its last packet begins, in seconds
        for event, decoded in Lookahead(self.reader.seekable).run(self.reader, _Order(self).begin):
            if isinstance(event, Chunk):
                if event.kind == AUDIO and self.audio is not None:
                    streams = self.audio.streams
                    packets = decode_packets(event.payload, len(streams))
                    packets = moved(packets, self.audio, -segment * Fraction(*reversed(self.tick_rate)))
                    heard |= {packet.stream: packet.pts * streams[packet.stream].time_base for packet in packets}
                    self.packets += packets
                    if self._until is not None and len(heard) == len(streams) and min(heard.values()) >= self._until:
                        return
                continue
            if self._until is not None:
                segment = event.segment.start
                continue
            assert decoded is not None
            picture, found = decoded
            segment = event.segment.start
            waiting[event.head.number] = picture.planes
            shown += event.shown
            if event.packed is not None:
                hashes.append(found)
                if not event.packed.last:
                    continue
                check_joint(event.packed, hashes)
            ready, shown, hashes = shown, [], []
            for due in ready:
                planes = crop(waiting.pop(due.number), height, width, self.header.colour.chroma)
                frame = VideoFrame(planes, due.index, due.time)
                if before is not None and frame.ticks > tick:
                    yield before
                before = None
                if frame.ticks < tick:
                    before = frame
                elif frame.number >= start:
                    yield frame
        if before is not None:
            yield before

    def take_audio(self) -> list[AudioPacket]:
        """The audio packets that were read since the last call."""
        packets, self.packets = self.packets, []
        return packets

    @property
    def only_audio(self) -> bool:
        """Whether frames are passed over."""
        return self._until is not None

    def read_late_audio(self, until: Fraction) -> None:
        """Read on, without frames, for packets that begin before `until` (seconds of the clip) and lie after the frames that
        they play with. Iteration is over then. Raises CorruptStreamError for what is damaged on the way."""
        self._until = until
        for _ in self._frames:
            pass

    def close(self) -> None:
        """Let go of the file; safe to call again."""
        if self._own:
            self._own.close()

    def __enter__(self) -> Video:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


Decoded = tuple["Picture | GridPicture", bytes]  # of a frame, and in a pack the hash of its symbols


class _Order:
    """What frames wait for, told of them in the order of coding."""

    def __init__(self, video: Video):
        self._video = video
        self._held = Held[Decoded]()
        self._joint, self._place = Joint(), 0  # of the pack that is being read, and of its next frame

    def begin(self, frame: Frame | Chunk) -> Callable[[], Decoded | None]:
        """How to decode the next frame; there is nothing to do for other chunks."""
        if isinstance(frame, Chunk) or self._video.only_audio:
            return lambda: None
        if frame.head.kind == "I":
            self._held.clear()
        joint, place = self._joint, self._place
        self._place += 1
        if frame.packed is None or frame.packed.last:
            self._joint, self._place = Joint(), 0

        def work(references: Sequence[Decoded]) -> Decoded:
            joint.wait(place)
            with threads.sharing():
                return self._decode(frame, [picture for picture, _ in references], joint)

        task = self._held.task(frame.head.number, frame.head.references, frame.head.drops, work)

        def decode() -> Decoded:
            try:
                return task()
            finally:
                joint.passed(place)

        return decode

    def _decode(self, frame: Frame, references: list[Picture], joint: Joint) -> Decoded:
        codec, quality = self._video.codec, frame.head.quality_deci
        if frame.head.kind == "I":
            return codec.decode_intra(frame.payload, *self._video.size, quality), b""
        if frame.packed is None:
            return codec.decode(frame.payload, references, quality), b""
        return codec.decode_packed(frame.payload, references, quality, joint, frame.packed.last)
