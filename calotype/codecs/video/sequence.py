"""What every open clip offers as a sequence of frames: its length, video[10], video[10:20], video[-1]."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple, overload

import numpy as np

from ...errors import UsageError
from ..header import Header
from ..y4m import Planes
from .colour import to_rgb
from .timeline import tick_rate


class VideoFrame(NamedTuple):
    """A decoded frame. planes: 8-bit, of the clip's colour; number: in the clip; ticks: when it is shown (`tick_rate` of the
    clip a second)."""

    planes: Planes
    number: int
    ticks: int


class FrameSequence:
    """Over a clip's `seek`, `count`, `header` and `_frames`, the iterator of the frames to come."""

    _frames: Iterator[VideoFrame]

    if TYPE_CHECKING:

        @property
        def header(self) -> Header: ...
        @property
        def count(self) -> int | None: ...
        def seek(self, number: int) -> None: ...

    @property
    def tick_rate(self) -> tuple[int, int]:
        """Ticks a second, as a fraction."""
        return tick_rate(self.header)

    @property
    def rate(self) -> Fraction:
        """Nominal frames a second; `seconds` has when each is shown."""
        return Fraction(*self.header.rate)

    def seconds(self, frame: VideoFrame) -> float:
        """When a frame is shown, from the clip's start."""
        return float(frame.ticks / Fraction(*self.tick_rate))

    def rgb(self, frame: VideoFrame) -> np.ndarray:
        """(H, W, 3) uint8 RGB of a frame."""
        return to_rgb(frame.planes, self.header.colour)

    def __len__(self) -> int:
        """Frames of the clip, whatever was read of them. Raises TypeError for a pipe that has not ended."""
        if self.count is None:
            raise TypeError("the frames of a pipe are counted at its end: store the file first")
        return self.count

    def __bool__(self) -> bool:
        return True

    @overload
    def __getitem__(self, which: int) -> VideoFrame: ...
    @overload
    def __getitem__(self, which: slice) -> Iterator[VideoFrame]: ...
    def __getitem__(self, which: int | slice) -> VideoFrame | Iterator[VideoFrame]:
        """Frame `which`, or those of a slice, decoded as they are iterated over. Both seek, so that iteration goes on after
        the frame given last. Raises IndexError (no such frame), UsageError (a step back), and what seeking does."""
        if isinstance(which, slice):
            start, stop, step = which.indices(len(self))
            if step < 0:
                raise UsageError("a clip is read forwards: give a step of 1 or more")
            return self._part(start, stop, step)
        number = which + len(self) if which < 0 else which
        if not 0 <= number < len(self):
            raise IndexError(f"there is no frame {which}: the clip has {len(self)}")
        self.seek(number)
        return next(self._frames)

    def _part(self, start: int, stop: int, step: int) -> Iterator[VideoFrame]:
        if start < stop:
            self.seek(start)
            yield from islice(self._frames, 0, stop - start, step)
