"""Clips that PyAV decodes: mp4, mkv, webm, mov, avi, gif, ... from files and pipes."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

from ...errors import CorruptStreamError, UsageError
from ..limits import Limits
from ..y4m import frame_bytes
from .audio import AudioIn
from .pixels import colour_of, orientation_of, planes_of
from .source import TimedFrame, VideoSource

_ASSUMED_RATE = Fraction(25)
_ATTACHED_PICTURE = 1024  # FFmpeg's disposition of cover art
_LATE_AUDIO = 5  # seconds that audio may lag the video within a file
_MISSING, _DOUBTFUL = 1.5, 0.25  # seconds by which a file may be shorter than it says, and with a note
_UNTAGGED = 2


def open_movie(
    source: Path | BinaryIO,
    limits: Limits,
    start: Fraction,
    frames: int | None,
    audio: bool,
    full_chroma: bool = False,
) -> VideoSource:
    """A file's first video stream, or one from a pipe; see `open_video`."""
    try:
        seek = start > 0 and isinstance(source, Path)
        return _opened(source, limits, start, frames, audio, full_chroma, seek=seek)
    except _SeekedPastError:
        return _opened(source, limits, start, frames, audio, full_chroma, seek=False)


class _SeekedPastError(Exception):
    """The file's index led to a frame after the one looked for."""


def _opened(
    source: Path | BinaryIO,
    limits: Limits,
    start: Fraction,
    frames: int | None,
    audio: bool,
    full_chroma: bool,
    seek: bool,
) -> VideoSource:
    with ExitStack() as stack, _reading():
        reader = _Reader(stack.enter_context(_container(source)), limits, audio, "444" if full_chroma else "420")
        kept = reader.kept(start, seek)
        first = next(kept, None)
        if first is None:
            if start > 0 and reader.decoded:
                raise UsageError(f"the clip ends before {float(start)} seconds; start earlier")
            raise CorruptStreamError("there is no frame in its video; get it again")
        frame, origin = first
        stream, notes = reader.stream, reader.notes
        primaries, transfer = (
            None if code in (None, 0, _UNTAGGED) else int(code)
            for code in (stream.codec_context.color_primaries, stream.codec_context.color_trc)
        )
        colour = colour_of(frame, primaries, transfer, notes, full_chroma)
        orientation = orientation_of(frame, notes)
        aspect = stream.sample_aspect_ratio
        if aspect and aspect != 1:
            notes.append(f"its pixels are not square ({aspect.numerator}:{aspect.denominator}): shown as if they were")
        if reader.audio:
            reader.audio.start(origin * stream.time_base, cut=start > 0)
        width, height = (frame.height, frame.width) if orientation.swap else (frame.width, frame.height)

        def convert() -> Iterator[TimedFrame]:
            count, end = 0, Fraction(0)
            with _reading():
                for one, at in itertools.islice(itertools.chain((first,), kept), frames):
                    count, end = count + 1, (at - origin) * stream.time_base + 1 / reader.rate
                    if reader.audio:
                        reader.audio.advance(end)
                    yield TimedFrame(planes_of(one, colour, orientation), at - origin)
                if reader.audio and count == frames:
                    reader.read_late_audio(origin * stream.time_base + end)
                elif reader.audio:
                    reader.audio.advance(None)

        return VideoSource(
            width=width,
            height=height,
            rate=reader.rate,
            ticks=Fraction(stream.time_base),
            _frames=convert(),
            colour=colour,
            primaries=primaries,
            transfer=transfer,
            notes=notes,
            audio=reader.audio,
            _closing=stack.pop_all(),
        )


class _Reader:
    """Decodes a container's video and passes its audio on."""

    def __init__(self, container: Any, limits: Limits, audio: bool, chroma: str) -> None:
        videos = [one for one in container.streams.video if not int(one.disposition) & _ATTACHED_PICTURE]
        if not videos:
            what = "there is only audio in it" if container.streams.audio else "there is no video in it"
            raise UsageError(f"{what}; give a file with video")
        self.container, self.stream, self.limits, self.chroma = container, videos[0], limits, chroma
        self.notes: list[str] = []
        self.decoded = 0
        if self.stream.codec_context is None:
            raise UsageError("this PyAV cannot decode its video; convert it to H.264 first")
        self.stream.thread_type = "AUTO"
        self._check_size(self.stream.codec_context.width, self.stream.codec_context.height)
        rate = self.stream.guessed_rate or self.stream.average_rate
        if not rate:
            self.notes.append(f"it does not say its frame rate: {_ASSUMED_RATE} a second are assumed")
        self.rate = Fraction(rate or _ASSUMED_RATE)
        if len(videos) > 1:
            self.notes.append(f"it has {len(videos)} video streams; only the first is taken")
        self.audio = AudioIn(container.streams.audio) if audio and container.streams.audio else None
        self._packets = self._demuxed()

    def _check_size(self, width: int, height: int) -> None:
        if width and height:
            self.limits.check_picture(width, height, frame_bytes(width, height, self.chroma))

    def _demuxed(self) -> Iterator[Any]:
        """Packets of the video; audio goes aside."""
        reached = Fraction(0)
        joined = "mpegts" in self.container.format.name  # made of pieces, whose seams count as damage there
        for packet in self.container.demux():
            stream = packet.stream
            if stream.type not in ("video", "audio"):
                continue
            if packet.is_corrupt and not joined:
                raise CorruptStreamError("the file is damaged or cut short; get it again")
            if packet.pts is not None and packet.time_base:
                reached = max(reached, (packet.pts + (packet.duration or 0)) * packet.time_base)
            if stream is self.stream or stream.index == self.stream.index:
                yield packet
            elif self.audio and stream.type == "audio":
                self.audio.push(packet)
        # Matroska's reader ends a cut file without a word
        if "matroska" in self.container.format.name and self.container.duration:
            said = Fraction(self.container.duration, 1_000_000)
            if reached < said - Fraction(_MISSING):
                raise CorruptStreamError(
                    f"the file says that it lasts {float(said):.1f} seconds and ends after {float(reached):.1f}: "
                    "it was cut short; get it again"
                )
            if reached < said - Fraction(_DOUBTFUL):
                self.notes.append(
                    f"it says that it lasts {float(said):.2f} seconds and ends after {float(reached):.2f}: it may be cut short"
                )

    def _frames(self) -> Iterator[Any]:
        size = None
        for packet in self._packets:
            for frame in packet.decode():
                found = frame.width, frame.height
                size = size or found
                if found != size:
                    raise CorruptStreamError(
                        f"its frames change size from {size[0]} x {size[1]} to {found[0]} x {found[1]}; "
                        "cut it there, or convert it to one size first"
                    )
                if not self.decoded:
                    self._check_size(*found)
                self.decoded += 1
                yield frame

    def _timed(self) -> Iterator[tuple[Any, int]]:
        """Frames and their times, strictly rising."""
        step = max(1, round(1 / (self.rate * self.stream.time_base)))
        last = None
        mended = False
        for frame, time in _progressive(self._frames(), self.notes):
            at = time if time is not None else (0 if last is None else last + step)
            if last is not None and at <= last:
                at = last + step
            if at != time and not mended:
                self.notes.append("some frames have no time, or one that does not rise: the nominal rate is assumed there")
                mended = True
            last = at
            yield frame, at

    def kept(self, start: Fraction, seek: bool) -> Iterator[tuple[Any, int]]:
        """From `start` seconds on."""
        base = self.stream.time_base
        begin = self.stream.start_time
        if seek and begin is not None:
            self.container.seek(begin + int(start / base), stream=self.stream)
        elif seek:
            raise _SeekedPastError
        target = None
        for frame, at in self._timed():
            if target is None:
                target = (begin if seek else at) + start / base
                if seek and at > target:
                    raise _SeekedPastError
            if at >= target:
                if frame.is_corrupt:
                    raise CorruptStreamError("a frame is damaged; get the file again")
                yield frame, at

    def read_late_audio(self, until: Fraction) -> None:
        """What lies after the last frame wanted, which plays with it; until: seconds in the file."""
        for packet in self._packets:
            late = packet.dts is not None and packet.dts * packet.time_base > until + _LATE_AUDIO
            if late or self.audio is None or self.audio.complete:
                return


# ---- interlaced frames


def _progressive(frames: Iterator[Any], notes: list[str]) -> Iterator[tuple[Any, int | None]]:
    """Frames and their times as decoded; from the first interlaced one on through bwdif, one frame a frame."""
    graph = None
    times: deque[int | None] = deque()
    for frame in frames:
        if graph is None and not frame.interlaced_frame:
            yield frame, frame.pts
            continue
        if graph is None:
            graph = _deinterlacer(frame)
            notes.append("interlaced frames are deinterlaced (bwdif), one frame a frame")
        times.append(frame.pts)
        graph.push(frame)
        yield from _pulled(graph, times)
    if graph is not None:
        graph.push(None)
        yield from _pulled(graph, times)


def _pulled(graph: Any, times: deque[int | None]) -> Iterator[tuple[Any, int | None]]:
    import av

    while times:
        try:
            frame = graph.pull()
        except (av.error.BlockingIOError, av.error.EOFError):
            return
        yield frame, times.popleft()


def _deinterlacer(frame: Any) -> Any:
    import av

    graph = av.filter.Graph()
    source = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base
    )
    filters = [source, graph.add("bwdif", "mode=send_frame:deint=interlaced"), graph.add("buffersink")]
    for one, other in itertools.pairwise(filters):
        one.link_to(other)
    graph.configure()
    return graph


# ---- PyAV


def _container(source: Path | BinaryIO) -> Any:
    import av

    # only local files: playlists could name others
    options = {"protocol_whitelist": "file"}
    name = f"file:{source}" if isinstance(source, Path) else source
    return av.open(name, options=options, metadata_errors="replace")


@contextmanager
def _reading() -> Iterator[None]:
    """What PyAV raises on files it cannot read becomes our own error."""
    import av

    try:
        yield
    except av.FFmpegError as error:
        reason = getattr(error, "strerror", None) or error
        raise CorruptStreamError(
            f"it is no video that can be decoded, or damaged or cut short ({reason}); get it again"
        ) from error
