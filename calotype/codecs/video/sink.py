"""What every way of writing a clip shares."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from types import TracebackType

from ...errors import CalotypeError, UsageError
from ..header import Colour
from ..y4m import Planes, plane_shapes
from .audio import AudioPacket


@dataclass(frozen=True)
class Clip:
    """What a clip is, as headers and files say it. width, height: pixels. rate: nominal frames a second. ticks: seconds of a
    unit of time. primaries, transfer: codes of ITU-T H.273, None where not known."""

    width: int
    height: int
    rate: Fraction
    ticks: Fraction
    colour: Colour
    primaries: int | None = None
    transfer: int | None = None


class VideoSink:
    """A clip being written; a context manager: what is there is complete once it is closed without an exception, and an
    exception leaves nothing. notes: what is lost, one sentence each; more may come while frames are written."""

    def __init__(self, clip: Clip, timed: bool) -> None:
        """timed: whether the form keeps times."""
        self.clip, self.notes = clip, []
        self.written = 0
        self.committing = ExitStack()  # moves the file to its place, or removes it
        self._timed, self._uneven, self._last = timed, False, -1
        self._shapes = plane_shapes(clip.width, clip.height, clip.colour.chroma)
        self._closed = False

    def write(self, planes: Planes, time: int) -> None:
        """The next frame, 8-bit 4:2:0, and its time in ticks: 0 at first, then rising. Raises UsageError, CalotypeError."""
        if tuple(plane.shape for plane in planes) != self._shapes or time <= self._last:
            raise UsageError("a frame to be written has another size than the clip, or a time that does not rise")
        even = self.written / self.clip.rate
        if not self._timed and not self._uneven and abs(time * self.clip.ticks - even) > self.clip.ticks:
            self._uneven = True
            self.notes.append("the frames are unevenly timed, which this form cannot hold: .mp4 and .mkv can")
        with self.writing():
            self._write(planes, time)
        self._last = time
        self.written += 1

    def write_audio(self, packets: Iterable[AudioPacket]) -> None:
        """Packets as they are; forms without audio drop them."""
        with self.writing():
            self._write_audio(packets)

    def close(self) -> None:
        """Finish the file and move it to its place; safe to call again. Raises UsageError (no frame), CalotypeError."""
        if not self._closed:
            self.__exit__(None, None, None)

    def __enter__(self) -> VideoSink:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._closed:
            return
        self._closed = True
        with self.committing:
            if error is not None:
                self._abandon()
                raise error
            if not self.written:
                self._abandon()
                raise UsageError("there is no frame to write")
            with self.writing():
                self._finish()

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """What the system raises becomes our own error; a pipe that closed passes."""
        try:
            yield
        except BrokenPipeError:
            raise
        except OSError as error:
            reason = error.strerror or str(error)
            raise CalotypeError(f"cannot write the clip: {reason}; free some space or write elsewhere") from error

    # ---- for the forms

    def _write(self, planes: Planes, time: int) -> None:
        raise NotImplementedError

    def _write_audio(self, packets: Iterable[AudioPacket]) -> None:
        pass

    def _finish(self) -> None:
        pass

    def _abandon(self) -> None:
        pass
