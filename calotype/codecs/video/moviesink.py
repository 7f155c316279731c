"""Writing mp4, mov, mkv and webm with PyAV."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ...errors import CalotypeError, UsageError
from ..header import MATRICES
from ..y4m import Planes
from .audio import AudioDescription, AudioOut, AudioPacket
from .sink import Clip, VideoSink

_FORMATS = {"mp4": "mp4", "mov": "mov", "mkv": "matroska", "webm": "webm"}  # FFmpeg's names
_CODECS = {"mp4": "h264", "mov": "h264", "mkv": "ffv1", "webm": "vp9"}
_ENCODERS = {"h264": "libx264", "ffv1": "ffv1", "vp9": "libvpx-vp9", "av1": "libsvtav1"}
_QUALITY = {"h264": 12, "vp9": 15, "av1": 15}
_OPTIONS = {
    "h264": {"preset": "medium"},
    "ffv1": {"level": "3", "slicecrc": "1"},
    "vp9": {"b": "0", "cpu-used": "4", "row-mt": "1"},
    "av1": {"preset": "8"},
}
_MILLISECOND = Fraction(1, 1000)
_UNTAGGED = 2


class MovieSink(VideoSink):
    """See `open_output`."""

    def __init__(
        self,
        target: Path | BinaryIO,
        form: str,
        clip: Clip,
        audio: AudioDescription | None,
        codec: str | None,
        quality: float | None,
    ) -> None:
        super().__init__(clip, timed=True)
        import av

        codec = codec or _CODECS[form]
        if codec not in _ENCODERS:
            raise UsageError(f"no codec {codec!r} to write; the codecs are {', '.join(_ENCODERS)}")
        options = dict(_OPTIONS[codec])
        if codec in _QUALITY:
            options["crf"] = str(_QUALITY[codec] if quality is None else quality)
        elif quality is not None:
            raise UsageError(f"{codec} is lossless and has no quality; leave it out, or choose h264")
        container_options = {}
        if form in ("mp4", "mov"):
            on_disk = isinstance(target, Path)
            container_options["movflags"] = "+faststart" if on_disk else "+frag_keyframe+delay_moov+default_base_moof"
        odd, whole = clip.width % 2 or clip.height % 2, clip.colour.chroma == "444"
        self._rounds = None if form in ("mp4", "mov") else form
        self._format = "yuv444p" if whole or odd and codec == "h264" else "yuv420p"
        if self._format == "yuv444p" and codec != "ffv1":
            why = "its frames are" if whole else "H.264 holds odd sizes only as"
            self.notes.append(f"{why} 4:4:4, which some players cannot show")
        name = f"file:{target}" if isinstance(target, Path) else target
        try:
            with self.writing():
                self._container = av.open(name, "w", format=_FORMATS[form], options=container_options)
        except av.FFmpegError as error:
            raise CalotypeError(f"cannot write the clip: {error}; give another name") from error
        try:
            self._stream = self._video(codec, options)
            self._audio = AudioOut(self._container, audio) if audio else None
            self._container.start_encoding()
        except (ValueError, av.FFmpegError) as error:
            self._abandon()
            raise UsageError(
                f"cannot write {codec} of {clip.width} x {clip.height} pixels as .{form} ({error}); choose another codec"
            ) from error
        except BaseException:
            self._abandon()
            raise

    def _video(self, codec: str, options: dict[str, str]) -> Any:
        import av

        os.environ.setdefault("SVT_LOG", "1")  # errors alone: it reports its settings on standard error otherwise
        try:
            stream = self._container.add_stream(_ENCODERS[codec], rate=self.clip.rate, options=options)
        except av.codec.codec.UnknownCodecError:
            raise UsageError(f"this PyAV was built without {_ENCODERS[codec]}; choose another codec or form") from None
        context = stream.codec_context
        context.width, context.height, context.pix_fmt = self.clip.width, self.clip.height, self._format
        context.time_base = stream.time_base = self.clip.ticks
        context.colorspace = MATRICES[self.clip.colour.matrix]
        context.color_range = 2 if self.clip.colour.range == "full" else 1
        context.color_primaries = self.clip.primaries or _UNTAGGED
        context.color_trc = self.clip.transfer or _UNTAGGED
        return stream

    def _write(self, planes: Planes, time: int) -> None:
        import av

        if self._rounds and time * self.clip.ticks % _MILLISECOND:
            self.notes.append(f".{self._rounds} rounds the times of frames to milliseconds; .mp4 keeps them")
            self._rounds = None
        height, width = planes[0].shape
        if planes[1].shape != planes[0].shape and self._format == "yuv444p":
            wide = (plane.repeat(2, 0).repeat(2, 1)[:height, :width] for plane in planes[1:])
            planes = (planes[0], *wide)
        frame = av.VideoFrame(width, height, self._format)
        for plane, samples in zip(frame.planes, planes, strict=True):
            rows, columns = samples.shape
            np.frombuffer(plane, np.uint8)[: rows * plane.line_size].reshape(rows, -1)[:, :columns] = samples
        frame.pts, frame.time_base = time, self.clip.ticks
        context = self._stream.codec_context
        frame.colorspace, frame.color_range = context.colorspace, context.color_range
        self._mux(frame)

    def _mux(self, frame: Any) -> None:
        for packet in self._stream.encode(frame):
            if not packet.duration:  # a last frame without one would not be shown
                packet.duration = max(1, round(1 / (self.clip.rate * packet.time_base)))
            self._container.mux(packet)

    def _write_audio(self, packets: Iterable[AudioPacket]) -> None:
        if self._audio:
            self._audio.write(packets)

    def _finish(self) -> None:
        self._mux(None)
        self._container.close()

    def _abandon(self) -> None:
        with contextlib.suppress(Exception):  # the file is removed whatever it lacks
            self._container.close()
