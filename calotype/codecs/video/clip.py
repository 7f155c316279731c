"""A whole clip to a file at a quality, a bitrate, a size or a PSNR: how often it is coded, and with which rate control."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import BinaryIO, Literal

from ...errors import UsageError
from ..image import EFFORT
from .encoder import RateControl, VideoEncoder
from .framecodecs import ClipBundle
from .rate import Constant, Controller, Record, Result, search
from .sink import Clip
from .source import TimedFrame, VideoSource
from .structure import Structure

MISSED = 0.05  # of a bitrate: from there on a note says so
FIRST_PASS = 50.0  # quality of the first of two passes
MARGIN = 0.005  # of a size, by which the second pass aims lower: a third is rarely needed then
WELL_USED, CLOSER = 0.9, 2  # share of a size that is enough; passes that try for more of it
Kind = Literal["quality", "bitrate", "size", "psnr"]
Report = Callable[[Record, int | None], None]  # a coded frame; how many there will be in all passes, where known


@dataclass(frozen=True)
class Settings:
    """What to make of a clip. kind, value: the target: quality 0..100, bits a second of the video alone, bytes of the whole
    file, or dB of 6:1:1 PSNR, mean over frames. passes: 1 or 2 for a bitrate; a size always takes two. audio: carry it through.
    effort: as of `FrameCodec`.
    """

    structure: Structure
    kind: Kind = "quality"
    value: float = 50.0
    passes: int = 1
    intra_period: int | None = 250
    cuts: bool = True
    audio: bool = True
    effort: int = EFFORT


@dataclass
class Summary:
    """Of a coded clip: what it was, its records in coding order, bytes of the file and of audio in it, notes; estimated_bits:
    ideal code length of all symbols, and all that is around them."""

    clip: Clip
    records: list[Record]
    size: int
    estimated_bits: float
    seconds: Fraction
    audio_bytes: int = 0
    notes: list[str] = field(default_factory=list)

    @property
    def psnr(self) -> float | None:
        """Mean of the frames' 6:1:1 PSNR in dB; None where one was coded without loss."""
        values = [record.psnr for record in self.records]
        return None if None in values else sum(values) / len(values)  # type: ignore[arg-type]


class _Counting:
    """A sink that says how many bytes went through; to nowhere, where it is given none."""

    def __init__(self, sink: BinaryIO | None):
        self.sink, self.size = sink, 0

    def write(self, data: bytes | memoryview) -> int:
        self.size += len(data)
        if self.sink is not None:
            self.sink.write(data)
        return len(data)


def encode_clip(
    bundle: ClipBundle,
    again: Callable[[], VideoSource] | None,
    source: VideoSource,
    sink: BinaryIO,
    settings: Settings,
    report: Report = lambda record, total: None,
) -> Summary:
    """Code a clip to `sink`. again: opens the source once more, None for a pipe, which cannot be read twice.

    Raises UsageError for a target that takes several passes of a pipe, or for a size or a PSNR that is out of reach.
    """
    kind = settings.kind
    passes = settings.passes if kind == "bitrate" else 1
    if again is None and (passes > 1 or kind in ("psnr", "size")):
        raise UsageError(f"a target of {kind} reads the clip more than once, and a pipe is read once; store the clip first")
    if kind == "quality":
        return _encode(bundle, source, sink, settings, lambda clip: Constant(settings.value), report)
    if kind == "psnr":
        return _to_psnr(bundle, again, source, sink, settings, report)
    if kind == "size":
        return _to_size(bundle, again, source, sink, settings, report)
    first, frames = None, None
    if passes == 2:
        first = _encode(bundle, source, None, settings, lambda clip: Constant(FIRST_PASS), report, 2)
    elif again is not None:
        with again() as counted:
            frames = sum(1 for _ in counted.frames())

    def control(clip: Clip) -> RateControl:
        records = first.records if first else None
        bits = settings.value * (1 / float(clip.rate) if first is None else float(first.seconds) / len(first.records))
        return Controller(settings.structure, clip.width * clip.height, bits, frames, settings.intra_period, records)

    with source if first is None else again() as opened:  # type: ignore[misc]
        summary = _encode(bundle, opened, sink, settings, control, report, passes, first)
    got = sum(record.bits for record in summary.records) / float(summary.seconds)
    if abs(got / settings.value - 1) > MISSED:
        said = f"{settings.value:g} bits a second were asked for and {got:.0f} came: the dial ends, or the clip is short"
        summary.notes.append(said)
    return summary


def _encode(
    bundle: ClipBundle,
    source: VideoSource,
    sink: BinaryIO | None,
    settings: Settings,
    control: Callable[[Clip], RateControl],
    report: Report,
    passes: int = 1,
    first: Summary | None = None,
) -> Summary:
    clip = Clip(
        source.width, source.height, source.rate, source.ticks, source.colour, source.primaries, source.transfer
    )
    encoder = VideoEncoder(bundle, clip, settings.structure, settings.intra_period, settings.cuts, settings.effort)
    counting, times = _Counting(sink), [0, 0]
    records: list[Record] = []
    total = passes * len(first.records) if first else None

    def watched() -> Iterator[TimedFrame]:
        for frame in source.frames():
            times[:] = times[1], frame.time
            yield frame

    audio = source.audio if settings.audio else None
    for record in encoder.encode(watched(), control(clip), counting, audio):  # type: ignore[arg-type]
        records.append(record)
        report(record, total)
    if not records:
        raise UsageError("there is no frame in the clip")
    last = times[1] * source.ticks + 1 / source.rate
    return Summary(clip, records, counting.size, encoder.estimated_bits, last, encoder.audio_bytes, list(source.notes))


def _to_psnr(
    bundle: ClipBundle,
    again: Callable[[], VideoSource] | None,
    source: VideoSource,
    sink: BinaryIO,
    settings: Settings,
    report: Report,
) -> Summary:
    assert again is not None
    waiting: list[VideoSource] = [source]

    def encode(quality: float) -> Result[tuple[Summary, BinaryIO]]:
        trial = tempfile.TemporaryFile()
        with waiting.pop() if waiting else again() as opened:
            summary = _encode(bundle, opened, trial, settings, lambda clip: Constant(quality), report)
        return Result(summary.psnr if summary.psnr is not None else 100.0, (summary, trial))

    summary, trial = search(encode, settings.value).coded
    trial.seek(0)
    shutil.copyfileobj(trial, sink)
    return summary


def _to_size(
    bundle: ClipBundle,
    again: Callable[[], VideoSource] | None,
    source: VideoSource,
    sink: BinaryIO,
    settings: Settings,
    report: Report,
) -> Summary:
    """The second of two passes, or a later one where that passes the size: each then aims lower, twice as far each time, until
    one fits; then, while much of the size is left, higher, or half-way between what fitted and what did not, at most CLOSER
    times."""
    assert again is not None
    last = _encode(bundle, source, None, settings, lambda clip: Constant(FIRST_PASS), report, 2)
    around = last.size - sum(record.bits for record in last.records) // 8
    if settings.value <= around:
        raise UsageError(f"a size of {settings.value:g} bytes: audio and framing alone take {around}; ask for more")
    lower, closer = MARGIN * settings.value, 0
    over: float | None = None  # how much lower was aimed where the size was passed
    fits: list[tuple[int, float, Summary, BinaryIO]] = []  # size, how much lower was aimed
    while fits or any(record.quality for record in last.records):

        def control(clip: Clip, first: Summary = last, bytes_: float = settings.value - lower - around) -> RateControl:
            bits = 8 * max(bytes_, 1) / len(first.records)
            return Controller(settings.structure, clip.width * clip.height, bits, None, settings.intra_period, first.records)

        trial, closer = tempfile.TemporaryFile(), closer + bool(fits)
        with again() as opened:
            last = _encode(bundle, opened, trial, settings, control, report, 2, last)
        if last.size <= settings.value:
            fits.append((last.size, lower, last, trial))
        else:
            over = lower
        if not fits:
            lower = 2 * lower + last.size - settings.value
            continue
        size, aimed, best, data = max(fits, key=lambda fit: fit[0])
        most = min(record.quality for record in best.records) == 100
        if most or size >= WELL_USED * settings.value or closer == CLOSER:
            data.seek(0)
            shutil.copyfileobj(data, sink)
            return best
        lower = aimed - (settings.value - size) if over is None else (over + aimed) / 2
    raise UsageError(f"a size of {settings.value:g} bytes: at quality 0 the clip takes {last.size}; ask for more")
