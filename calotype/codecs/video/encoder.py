"""A clip to a stream, frame in and frame out: scheduling, rate control, coding, timing and audio.

    frames -> scene cuts, complexity -> coding order -> look-ahead -> quality -> frame codec -> chunk
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import BinaryIO, NamedTuple, Protocol

import numpy as np

from ... import threads
from ...errors import LimitError, UsageError
from ..container import Header
from ..header import FRAMES_UNKNOWN
from ..image import EFFORT
from ..y4m import Planes
from .audio import AudioIn, AudioPacket, encode_packets, moved
from .framecodecs import ClipBundle, codec_id, frame_codec
from .framehead import FrameHead
from .frames import MAX_SIDE, CodedFrame, crop, pad
from .hierarchy import Spread, is_moving
from .lookahead import MOST, Held, Lookahead
from .rate import LOOK_AHEAD, Constant, Info, Record, look_ahead
from .scenes import Cuts, complexity
from .sink import Clip
from .source import TimedFrame
from .stream import StreamWriter
from .structure import Coded, Structure, schedule

# By which the unlikeness of a picture that a frame refers to grows with the distance, beside what thumbnails see of it: bits of
# P and B frames of eight training clips were 0.22 octaves more an octave of it
FAR = 0.23


class RateControl(Protocol):
    """`rate.Constant` or `rate.Controller`."""

    def quality(self, info: Info, ahead: tuple[Info, ...] = ()) -> float: ...
    def spent(self, info: Info, bits: int, psnr: float | None = None) -> Record: ...


class _Waiting(NamedTuple):
    planes: Planes
    time: int
    gap: int  # ticks since the frame before
    cut: bool
    alone: float  # complexity
    spread: float  # of qualities, for adaptive structures


def _moving(frames: list[_Waiting]) -> bool:
    return is_moving([frame.spread for frame in frames])


def psnr611(a: Planes, b: Planes) -> float:
    """(6 Y + U + V) / 8 of the planes' PSNRs, peak 255, in dB; inf where all are equal."""
    total = 0.0
    for x, y, share in zip(a, b, (6, 1, 1), strict=True):
        error = float(np.mean(np.square(x.astype(np.int16) - y, dtype=np.int32)))
        total += share * (10 * np.log10(255**2 / error) if error else np.inf)
    return total / 8


class VideoEncoder:
    """Codes one clip with one model. Raises UsageError for a clip that the model does not code, LimitError for its size."""

    def __init__(
        self,
        bundle: ClipBundle,
        clip: Clip,
        structure: Structure,
        intra_period: int | None = None,
        cuts: bool = True,
        effort: int = EFFORT,
    ):
        """intra_period: frames from one intra frame to the next at most, None: only where scenes begin. cuts: begin scenes
        with an intra frame; else with a P frame that is coded by itself. effort: as of `FrameCodec`."""
        if max(clip.width, clip.height) > MAX_SIDE:
            raise LimitError(f"frames of {clip.width} x {clip.height}: video takes sides up to {MAX_SIDE}; scale it down first")
        self.bundle, self.clip, self.structure = bundle, clip, structure
        self.intra_period, self.cuts = intra_period, cuts
        self.codec = frame_codec(bundle, clip.colour, effort)
        self.estimated_bits, self.audio_bytes = 0.0, 0  # ideal code length of all symbols, and all that is around them

    def header(self, frames: int = FRAMES_UNKNOWN) -> Header:
        """The header of the clip's file."""
        clip, params = self.clip, {}
        per_second = 1 / clip.ticks
        if per_second != clip.rate:
            params["ticks_num"] = per_second.numerator
            if per_second.denominator != 1:
                params["ticks_den"] = per_second.denominator
        for name in ("primaries", "transfer"):
            if getattr(clip, name) is not None:
                params[name] = getattr(clip, name)
        return Header(
            media="video",
            codec=codec_id(self.bundle),
            model=self.bundle.name.removeprefix(codec_id(self.bundle) + "-"),
            model_hash=self.bundle.hash[:8],
            width=clip.width,
            height=clip.height,
            frames=frames,
            rate=(clip.rate.numerator, clip.rate.denominator),
            colour=clip.colour,
            params=params,
        )

    def encode(
        self,
        frames: Iterable[TimedFrame],
        control: RateControl,
        sink: BinaryIO,
        audio: AudioIn | None = None,
        pictures: Callable[[int, Planes], None] | None = None,
    ) -> Iterator[Record]:
        """Write the clip to `sink`, giving a record after each coded frame; the file is whole when the iterator ends.

        pictures: told every frame's display number, in coding order, and the planes that a decoder gives for it."""
        with StreamWriter(sink, self.header()) as writer:
            if audio is not None:
                writer.audio_head(audio.description.to_bytes())
            first, length = 0, 0  # of the segment: display number, frames
            reached, waiting = 0, list[AudioPacket]()  # the latest tick shown by a coded frame; audio that is not written yet
            for coded, frame, quality, info in self._coded(frames, control):
                delay = self._delay(coded, first, length)
                if coded.kind == "I":
                    if coded.number:
                        waiting = self._write_audio(writer, audio, waiting, coded.frame.time)
                    first, length = coded.number, 0
                length = max(length, coded.number - first + 1)
                before = writer.size
                writer.frame(self._head(coded, quality, first, delay), frame.payload, frame.part)
                planes = crop(frame.picture.planes, self.clip.height, self.clip.width, self.clip.colour.chroma)
                self.estimated_bits += frame.estimated_bits
                if pictures is not None:
                    pictures(coded.number, planes)
                yield control.spent(info, 8 * (writer.size - before), psnr611(coded.frame.planes, planes))
                reached = max(reached, coded.frame.time)
                if not writer.waiting:
                    waiting = self._write_audio(writer, audio, waiting, reached)
            self._write_audio(writer, audio, waiting, None)
        self.estimated_bits += 8 * writer.framing

    def _write_audio(
        self, writer: StreamWriter, audio: AudioIn | None, waiting: list[AudioPacket], until: int | None
    ) -> list[AudioPacket]:
        """Write, of what waits and what has been read, the packets that begin before a tick, so that each is in the segment
        that it begins in; those that still wait."""
        if audio is None:
            return []
        bases = [stream.time_base for stream in audio.description.streams]
        now, later = list[AudioPacket](), list[AudioPacket]()
        for packet in (*waiting, *audio.take()):
            due = until is None or packet.pts * bases[packet.stream] < until * self.clip.ticks
            (now if due else later).append(packet)
        if now:
            payload = encode_packets(moved(now, audio.description, writer.segment_start * self.clip.ticks))
            writer.audio(payload)
            self.audio_bytes += len(payload)
        return later

    def _coded(
        self, frames: Iterable[TimedFrame], control: RateControl
    ) -> Iterator[tuple[Coded[_Waiting], CodedFrame, int, Info]]:
        steady = isinstance(control, Constant)  # its qualities do not depend on what frames take, so they may go side by side

        def chosen() -> Iterator[tuple[Coded[_Waiting], int, Info]]:
            waiting = self._waiting(frames)
            order = schedule(self.structure, waiting, self.intra_period, self._begins, _moving, lambda frame: frame.cut)
            for (coded, info), later in look_ahead(self._informed(order), 0 if steady else LOOK_AHEAD):
                yield coded, round(10 * control.quality(info, tuple(info for _, info in later))), info

        held = Held[CodedFrame]()

        def begin(item: tuple[Coded[_Waiting], int, Info]) -> Callable[[], CodedFrame]:
            coded, quality, _ = item
            if coded.kind == "I":
                held.clear()
            return held.task(coded.number, coded.references, coded.drop, lambda found: self._code(coded, quality, found))

        # No more at once than there are threads, as a frame's activations are most of the memory; but what has been read when a
        # frame is written does not depend on them, as audio goes with it.
        side_by_side = Lookahead(steady and self.structure.parallel, 0, MOST)
        for (coded, quality, info), frame in side_by_side.run(chosen(), begin):
            yield coded, frame, quality, info

    def _informed(self, order: Iterable[Coded[_Waiting]]) -> Iterator[tuple[Coded[_Waiting], Info]]:
        """Frames in coding order, and what a rate control knows of each."""
        held: dict[int, Planes] = {}
        for coded in order:
            frame, unlike, spread = coded.frame, coded.frame.alone, self.codec.intra_spread
            held[coded.number] = frame.planes
            if coded.references:
                spread = frame.spread if self.structure.adaptive else 1.0
                nearest = min(coded.references, key=lambda number: abs(coded.number - number))
                unlike = complexity(frame.planes[0], held[nearest][0]) * abs(coded.number - nearest) ** FAR
            for number in coded.drop:
                held.pop(number, None)
            yield coded, Info.of(coded, unlike, spread)

    def _code(self, coded: Coded[_Waiting], quality: int, references: Sequence[CodedFrame]) -> CodedFrame:
        planes, pictures = pad(coded.frame.planes, self.clip.colour.chroma), [frame.picture for frame in references]
        with threads.sharing():
            if coded.kind == "I":
                return self.codec.encode_intra(planes, quality)
            if coded.independent:
                return self.codec.encode_stem(planes, pictures[0], quality)
            if coded.frame.cut:
                return self.codec.encode_alone(planes, quality)
            return self.codec.encode(planes, pictures, quality)

    def _begins(self, frame: _Waiting) -> bool:
        return frame.cut and self.cuts

    def _waiting(self, frames: Iterable[TimedFrame]) -> Iterator[_Waiting]:
        """Frames in order of time with what scheduling and rate control want to know of them."""
        cuts, spread, before = Cuts(), Spread(self.clip.width, self.clip.height), None
        for planes, time in frames:
            shape = planes[0].shape
            if shape != (self.clip.height, self.clip.width):
                raise UsageError(f"a frame of {shape[1]} x {shape[0]} in a clip of {self.clip.width} x {self.clip.height}")
            cut = cuts(planes[0])
            alone = complexity(planes[0])
            inter = alone if before is None else complexity(planes[0], before.planes[0])
            gap = 0 if before is None else time - before.time
            before = _Waiting(planes, time, gap, cut, alone, spread(inter, alone, cut or before is None))
            yield before

    def _delay(self, coded: Coded[_Waiting], first: int, length: int) -> int:
        """Ticks by which a frame comes later than one nominal frame after the one before."""
        if coded.number == 0:
            return 0
        number = length if coded.kind == "I" else coded.number - first
        return coded.frame.gap - (self._nominal(number) - self._nominal(number - 1))

    def _nominal(self, number: int) -> int:
        due = number / (self.clip.rate * self.clip.ticks)
        return (2 * due.numerator + due.denominator) // (2 * due.denominator)

    @staticmethod
    def _head(coded: Coded[_Waiting], quality: int, first: int, delay: int) -> FrameHead:
        if coded.kind == "I":
            drops = (0,) if coded.number in coded.drop else ()
            return FrameHead("I", quality, 0, (), drops, delay)
        drops = tuple(sorted(number - first for number in coded.drop))
        references = tuple(number - first for number in coded.references)
        return FrameHead(coded.kind, quality, coded.number - first, references, drops, delay)
