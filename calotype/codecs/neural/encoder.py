"""A clip to a file of codec `inr-video`: groups of frames, each fitted for its share of the steps or the minutes."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...errors import LimitError, UsageError
from ..container import Chunk, symbol_hash, write
from ..header import Header
from ..limits import Limits
from ..overfit import Report, State
from ..request import check_fit, tenths
from ..video.colour import to_rgb
from ..video.source import TimedFrame, VideoSource
from ..y4m import Planes
from .codec import rules_hash
from .fitting import Budget
from .grouphead import CODEC, GROUP, Clock, GroupHead, encode_head
from .nets import Group, Net, Place, Task, net

LEAST_BPP, MOST_BPP = 0.01, 1.28  # of the ends of the dial
EFFORT, MAX_EFFORT = 4, 9


@dataclass(frozen=True)
class Settings:
    """quality: 0..100, which sets the bits a pixel. effort: steps of fitting, 0 to 9; by default 4, or 9 where there are
    minutes, which end the fit of the whole clip. Raises UsageError."""

    net: str = "hnerv.1"
    quality: float = 50.0
    effort: int | None = None
    minutes: float | None = None
    device: str = "cpu"

    def __post_init__(self) -> None:
        tenths(self.quality)
        check_fit(self.effort, MAX_EFFORT, self.minutes)

    @property
    def steps(self) -> int:
        """The effort that holds."""
        if self.effort is not None:
            return self.effort
        return EFFORT if self.minutes is None else MAX_EFFORT

    @property
    def bpp(self) -> float:
        """Bits a pixel that are asked for."""
        return LEAST_BPP * (MOST_BPP / LEAST_BPP) ** (self.quality / 100)


@dataclass
class Coded:
    """data: the whole file. frames: how many are in it; psnr: of each, RGB, dB; bits: estimated; steps: of descent in all."""

    data: bytes
    psnr: list[float]
    bits: float
    steps: int
    groups: list[int]
    notes: list[str] = field(default_factory=list)

    @property
    def frames(self) -> int:
        """In the file."""
        return len(self.psnr)


def encode_clip(
    source: VideoSource,
    settings: Settings,
    limits: Limits | None = None,
    report: Report | None = None,
    pictures: Callable[[int, Planes], None] | None = None,
) -> Coded:
    """Fit a clip, which is held in memory. Ctrl-C ends the clip with the group that is being fitted, as it then is.

    report: told how far it is; pictures: given each frame as it will be decoded. Raises UsageError, LimitError, and what
    reading the source raises.
    """
    limits = limits or Limits()
    frames = _held(source, limits)
    place = Place(source.height, source.width, source.colour, limits)
    job = _Job(net(settings.net), settings, place, frames, report)
    params = {"quality_deci": round(10 * settings.quality)}
    if source.ticks * source.rate != 1:
        rate = 1 / source.ticks
        params |= {"ticks_num": rate.numerator} | ({"ticks_den": rate.denominator} if rate.denominator > 1 else {})
    for name in ("primaries", "transfer"):
        if getattr(source, name) is not None:
            params[name] = getattr(source, name)

    def header(count: int) -> Header:
        return Header(
            media="video",
            codec=CODEC,
            model=settings.net,
            model_hash=rules_hash(settings.net),
            width=source.width,
            height=source.height,
            frames=count,
            rate=(source.rate.numerator, source.rate.denominator),
            colour=source.colour,
            params=params,
        )

    clock, chunks, psnr, bits = Clock(header(len(frames))), [], [], 0.0
    for part, key, group in job.groups():
        times = [frame.time for frame in part]
        head = GroupHead(symbol_hash(group.symbols), key, clock.delays(times))
        clock.times(head)
        start = encode_head(head)
        chunks.append(Chunk(GROUP, start + group.data))
        for frame, planes in zip(part, group.frames, strict=True):
            if pictures:
                pictures(len(psnr), planes)
            psnr.append(_psnr(frame.planes, planes, place))
        bits += group.bits + 8 * len(start)
    notes = list(source.notes)
    if len(psnr) < len(frames):
        notes.append(f"the fit was ended: the first {len(psnr)} of {len(frames)} frames are there")
    data = write(header(len(psnr)), chunks)
    return Coded(data, psnr, bits, job.steps, [len(chunk.payload) for chunk in chunks], notes)


class _Job:
    """Groups of a clip, and how the work is shared among them. steps: taken."""

    def __init__(self, chosen: Net, settings: Settings, place: Place, frames: Sequence[TimedFrame], report: Report | None):
        self._net, self._settings, self._place, self._report = chosen, settings, place, report
        self._parts = [frames[k : k + chosen.frames] for k in range(0, len(frames), chosen.frames)]
        self._works = [len(part) * (1 if self._is_key(k) else chosen.following) for k, part in enumerate(self._parts)]
        self._started, self.steps = time.monotonic(), 0

    def _is_key(self, number: int) -> bool:
        return number % self._net.keys == 0

    def groups(self) -> Iterator[tuple[Sequence[TimedFrame], bool, Group]]:
        """Each: its frames, whether it is a key group, as it was coded."""
        before: Any = None
        for number, part in enumerate(self._parts):
            key = self._is_key(number)
            run = min(self._net.keys, len(self._parts) - number // self._net.keys * self._net.keys)
            budget = self._budget(number, key)
            bits = self._settings.bpp * len(part) * self._place.height * self._place.width
            task = Task(bits, run, budget, self._settings.device)
            group = self._net.encode_group([frame.planes for frame in part], self._place, task, None if key else before)
            before = group.state
            yield part, key, group
            if budget.interrupted:
                return

    def _budget(self, number: int, key: bool) -> Budget:
        steps = self._net.steps(self._settings.steps, len(self._parts[number]), key)
        done, work, total = sum(self._works[:number]), self._works[number], sum(self._works)
        seconds = None
        if self._settings.minutes is not None:
            left = max(60 * self._settings.minutes - (time.monotonic() - self._started), 0.0)
            seconds = left * work / (total - done)
        before = self.steps

        def told(step: int, db: float, bits: float, share: float) -> None:
            self.steps = before + step
            if not self._report:
                return
            spent = time.monotonic() - self._started
            over = max((done + work * min(share, 1.0)) / total, 1e-6)
            left = spent / over - spent
            part = self._parts[number]
            bpp = bits / (len(part) * self._place.height * self._place.width)
            self._report(State(db, bpp, round(1000 * over), 1000, spent, left))

        return Budget(steps, seconds, told)


def _held(source: VideoSource, limits: Limits) -> list[TimedFrame]:
    """All frames. Raises LimitError where they take too much memory, UsageError where there is none."""
    held, size = [], 0
    for frame in source.frames():
        held.append(frame)
        size += sum(plane.nbytes for plane in frame.planes)
        if size > limits.max_bytes:
            raise LimitError(
                f"the clip's frames take more than the limit max_bytes={limits.max_bytes}, and codec '{CODEC}' holds them all: "
                "give --frames and --start, or allow it: --max-bytes"
            )
    if not held:
        raise UsageError("there is no frame in the clip")
    return held


def _psnr(a: Planes, b: Planes, place: Place) -> float:
    """dB of RGB."""
    first, second = (to_rgb(planes, place.colour).astype(np.float64) for planes in (a, b))
    error = float(np.square(first - second).mean())
    return math.inf if not error else 10 * math.log10(255**2 / error)
