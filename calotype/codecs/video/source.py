"""What a clip being read is, wherever it comes from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from fractions import Fraction
from types import TracebackType
from typing import NamedTuple

from ..header import Colour
from ..y4m import Planes
from .audio import AudioIn

ASSUMED_COLOUR = Colour("bt709", "limited", "420", 8)
RGB_AS_YUV = Colour("bt709", "full", "444", 8)  # comes back as RGB within two levels
ASSUMED_COLOUR_NOTE = "its colours are not tagged: BT.709, limited range, is assumed"


def rgb_note(full: bool) -> str:
    """What becomes of RGB frames, for a person. full: where chroma keeps its size."""
    if full:
        return "RGB frames are converted to 8-bit 4:4:4 (BT.709, full range), rounded"
    return "RGB frames are converted to 8-bit 4:2:0 (BT.709, limited range, chroma the mean of 2 x 2 pixels)"


class TimedFrame(NamedTuple):
    """planes: 8-bit, of the source's colour. time: in the source's ticks; of the first frame 0, then strictly rising."""

    planes: Planes
    time: int


@dataclass
class VideoSource:
    """An open clip; use it as a context manager, or close it.

    width, height: pixels, as shown (turned upright). rate: nominal frames a second. ticks: seconds of one unit of time.
    primaries, transfer: codes of ITU-T H.273 where the source names them. notes: what is lost or assumed, one sentence
    each, for a person; more may come while the frames are read. audio: None unless asked for, and where there is none.
    """

    width: int
    height: int
    rate: Fraction
    ticks: Fraction
    _frames: Iterator[TimedFrame]
    colour: Colour = ASSUMED_COLOUR
    primaries: int | None = None
    transfer: int | None = None
    notes: list[str] = field(default_factory=list)
    audio: AudioIn | None = None
    _closing: ExitStack = field(default_factory=ExitStack)

    def frames(self) -> Iterator[TimedFrame]:
        """The frames in order of time, once; held one at a time.

        Raises CorruptStreamError (damaged, cut short, frames of several sizes), LimitError, UsageError.
        """
        return self._frames

    def close(self) -> None:
        """Let go of the files; safe to call again."""
        self._closing.close()

    def __enter__(self) -> VideoSource:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
