"""Which frames of a clip have come, which pictures a decoder holds, and when each is shown; the same in writer and reader.

A segment is an I frame and what follows it up to the next. Its frames have the display numbers 0..n-1, each once, and refer to
none outside it. The frame k of a segment is shown at

    start + floor(k * step + 1/2) + delays of frames 1..k       step: ticks of a nominal frame, a fraction

and the next segment starts where its frame n would be shown, plus the delay of its I frame. The clip's first frame is shown at
0, whatever its delay.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from typing import NamedTuple

from ...errors import CorruptStreamError
from ..header import FRAMES_UNKNOWN, Header
from .framehead import AT_FAULT, FrameHead, decode_head, head_fault
from .structure import LONGEST, MOST_HELD

_MAX_TIME = 2**63 - 1


class Shown(NamedTuple):
    """A frame whose turn to be shown has come. number: in its segment; index: in the clip; time: in ticks."""

    number: int
    index: int
    time: int


def tick_rate(header: Header) -> tuple[int, int]:
    """Ticks per second, as a fraction: the header's `ticks_num` / `ticks_den`, or its rate where it has none."""
    if "ticks_num" not in header.params:
        return header.rate
    return header.params["ticks_num"], header.params.get("ticks_den", 1)


def nothing_shown(header: Header, tick: int, duration: int) -> str:
    """Of a time that is none of a clip of so many ticks, in words."""
    at, end = (float(ticks / Fraction(*tick_rate(header))) for ticks in (tick, duration))
    return f"nothing is shown at {at:g} seconds: the clip lasts {end:g}"


class Timeline:
    """Follows a clip frame by frame in coding order, from an I frame on that is shown as number `first` at tick `start`.

    first, start: of the segment begun last. expected: the lowest number of the segment that has not come.
    """

    def __init__(self, header: Header, first: int = 0, start: int = 0):
        num, den = tick_rate(header)
        self._step = num * header.rate[1], den * header.rate[0]
        self.first, self.start, self.expected = first, start, 0
        self._late = 0  # sum of the delays of frames 1..expected-1
        self._waiting: dict[int, int] = {}  # number: delay, of those that came before their turn
        self._held: set[int] = set()
        self._time = start

    @property
    def frames(self) -> int:
        """Frames of the clip up to now."""
        return self.first + self.expected + len(self._waiting)

    @property
    def duration(self) -> int:
        """The tick at which the segment's last frame, all having come, makes way."""
        return self._due(self.expected) + self._late

    def add(self, head: FrameHead) -> tuple[Shown, ...]:
        """Take the next frame; those that can be shown now, in their order. Raises ValueError saying what is wrong."""
        fault = head_fault(head)
        if fault:
            raise ValueError(fault)
        first, start, expected, late, time = self.first, self.start, self.expected, self._late, self._time
        waiting, held = dict(self._waiting), set(self._held)
        if head.kind == "I":
            if expected:
                start, first = self.end() + head.delay, first + expected
            expected = late = 0
            waiting, held = {0: 0}, {0}
        else:
            if not expected:
                raise ValueError("a segment begins with an I frame")
            if head.number < expected or head.number in waiting:
                raise ValueError(f"frame {head.number} comes twice")
            if not held.issuperset(head.references):
                raise ValueError(f"frame {head.number} refers to {list(head.references)}, not all of which are held")
            waiting[head.number] = head.delay
            held.add(head.number)
        if not held.issuperset(head.drops) or list(head.drops) != sorted(set(head.drops)):
            raise ValueError(f"frame {head.number} drops {list(head.drops)}, not frames that are held, in ascending order")
        held.difference_update(head.drops)
        shown = []
        while expected in waiting:
            late += waiting.pop(expected)
            last, time = time, start + self._nominal(expected) + late
            if not last <= time <= _MAX_TIME:
                raise ValueError(f"frame {expected} is shown at tick {time}, before the one that precedes it")
            shown.append(Shown(expected, first + expected, time))
            expected += 1
        if len(held) > MOST_HELD or len(waiting) > LONGEST:
            raise ValueError(f"after frame {head.number} {len(held)} pictures are held and {len(waiting)} wait, too many")
        if first + expected + len(waiting) >= FRAMES_UNKNOWN:
            raise ValueError(f"a clip has at most {FRAMES_UNKNOWN - 1} frames")
        self.first, self.start, self.expected, self._late, self._time = first, start, expected, late, time
        self._waiting, self._held = waiting, held
        return tuple(shown)

    def end(self) -> int:
        """The `duration`, at the end of a segment. Raises ValueError where one of its frames has not come."""
        if self._waiting or not self.expected:
            raise ValueError(f"frame {self.expected} of the segment has not come")
        return self.duration

    def _due(self, number: int) -> int:
        return self.start + self._nominal(number)

    def _nominal(self, number: int) -> int:
        num, den = self._step
        return (2 * number * num + den) // (2 * den)


def follow(
    timeline: Timeline, payload: memoryview, where: str, before: FrameHead | None = None
) -> tuple[FrameHead, int, tuple[Shown, ...]]:
    """The head of the frame whose payload this is, its length, and what `timeline` says is shown. before: the head of the
    before it in its pack. Raises CorruptStreamError, naming the frame by `where` it is."""
    try:
        head, at = decode_head(payload, timeline.expected, before)
        return head, at, timeline.add(head)
    except (CorruptStreamError, ValueError) as error:
        raise CorruptStreamError(f"the frame {where} makes no sense ({error}): {AT_FAULT}") from error


def follow_pack(
    timeline: Timeline, payloads: Iterable[memoryview], where: str
) -> list[tuple[FrameHead, int, tuple[Shown, ...]]]:
    """`follow` for all frames of a pack. Raises CorruptStreamError."""
    found: list[tuple[FrameHead, int, tuple[Shown, ...]]] = []
    for payload in payloads:
        found.append(follow(timeline, payload, where, found[-1][0] if found else None))
        if found[-1][0].kind == "I":
            raise CorruptStreamError(f"an intra frame is in a pack {where}: {AT_FAULT}")
    return found
