"""The part of `calotype encode` that makes video files."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from ..codecs import signatures
from ..codecs.suffixes import MOVIE_SUFFIXES, PICTURE_SUFFIXES
from ..codecs.video.numbered import is_numbered
from ..errors import UsageError
from . import batch, standardinput, terminal

if TYPE_CHECKING:
    from ..codecs.limits import Limits
    from ..codecs.video.clip import Summary
    from ..codecs.video.rate import Record
    from ..codecs.video.source import VideoSource


@dataclass(frozen=True)
class VideoOptions:
    """Options of the command line that only video has. start: seconds; log: a file for a line of JSON a frame; rate: of
    pictures, frames a second."""

    video: bool
    structure: str
    intra_period: int
    passes: int
    start: float
    frames: int | None
    audio: bool
    cuts: bool
    effort: int | None
    log: Path | None
    rate: Fraction | None = None


def is_video(job: batch.Job, asked: bool) -> bool:
    """Whether a job's source is a clip: by its suffix, as a pattern of frames, by the first bytes of a pipe or of a file whose
    suffix does not tell, or because the command line says so."""
    if asked:
        return True
    if job.source is None:
        return signatures.is_clip(standardinput.head(signatures.CLIP_HEAD))
    suffix = job.source.suffix.lower()
    if suffix in MOVIE_SUFFIXES or not job.source.exists() and is_numbered(job.source):
        return True
    if suffix in PICTURE_SUFFIXES or not job.source.is_file():
        return False
    with job.source.open("rb") as stream:
        return signatures.is_clip(stream.read(signatures.CLIP_HEAD))


def encode_one(
    model: str | None,
    device: str,
    job: batch.Job,
    target: tuple[str, float],
    options: VideoOptions,
    limits: Limits,
    as_json: bool,
    progress: terminal.Progress,
) -> None:
    """Encode one clip and print its line. Raises CalotypeError."""
    from ..atomic import replacing
    from ..codecs.video.clip import Settings, encode_clip
    from ..codecs.video.encoding import clip_model
    from ..codecs.video.framecodecs import default_effort, keeps_chroma
    from ..codecs.video.media_in import open_video
    from ..codecs.video.structure import load

    bundle = clip_model(model, device)
    if target[0] == "bpp":
        raise UsageError("--bpp is of pictures: give a clip --bitrate, --size, --psnr or -q")
    settings = Settings(
        structure=load(options.structure),
        kind=target[0],  # type: ignore[arg-type]
        value=target[1],
        passes=options.passes,
        intra_period=options.intra_period or None,
        cuts=options.cuts,
        audio=options.audio,
        effort=default_effort(bundle) if options.effort is None else options.effort,
    )

    def opened() -> VideoSource:
        source: Any = sys.stdin.buffer if job.source is None else job.source
        return open_video(source, limits, options.start, options.frames, options.audio, options.rate, keeps_chroma(bundle))

    started = time.monotonic()
    counter = _Counter(progress, started)

    def report(record: Record, total: int | None) -> None:
        counter(total if total is not None else options.frames)

    def encode(sink: BinaryIO) -> Summary:
        with opened() as source:
            return encode_clip(bundle, None if job.source is None else opened, source, sink, settings, report)

    if job.target is None:
        summary = encode(sys.stdout.buffer)
        sys.stdout.buffer.flush()
    else:
        with replacing(job.target) as temporary, open(temporary, "wb") as sink:
            summary = encode(sink)
    if options.log:
        with replacing(options.log) as temporary:
            temporary.write_text("".join(record.line() for record in summary.records), encoding="utf-8")
    record = _record(job, summary, bundle.name, options, time.monotonic() - started)
    with progress.aside():
        for line in summary.notes:
            terminal.note(f"{job.name}: {line}")
        terminal.row(_line(record), record, as_json, piped=job.target is None)


class _Counter:
    """Counts coded frames for the progress bar, which shows frames a second."""

    def __init__(self, progress: terminal.Progress, started: float):
        self.progress, self.started, self.done = progress, started, 0

    def __call__(self, total: int | None) -> None:
        self.done += 1
        speed = self.done / max(time.monotonic() - self.started, 1e-3)
        self.progress.frames(self.done, total, speed)


def _record(job: batch.Job, summary: Summary, model: str, options: VideoOptions, seconds: float) -> dict[str, Any]:
    clip, frames, length = summary.clip, len(summary.records), float(summary.seconds)
    video_bits = sum(record.bits for record in summary.records)
    psnr = summary.psnr
    return {
        "input": job.name,
        "output": str(job.target or batch.PIPE),
        "width": clip.width,
        "height": clip.height,
        "frames": frames,
        "source_bytes": job.source.stat().st_size if job.source and job.source.is_file() else None,
        "bytes": summary.size,
        "audio_bytes": summary.audio_bytes,
        "kbps": round(video_bits / length / 1000, 2),
        "bpp": round(video_bits / (frames * clip.width * clip.height), 5),
        "estimated_bits": round(summary.estimated_bits, 1),
        "psnr": None if psnr is None else round(psnr, 3),
        "structure": options.structure,
        "model": model,
        "notes": summary.notes,
        "seconds": round(seconds, 3),
        "fps": round(frames / seconds, 2),
    }


def _line(record: dict[str, Any]) -> str:
    db = "" if record["psnr"] is None else f"  {record['psnr']:.2f} dB (6:1:1)"
    before = "" if record["source_bytes"] is None else f"{record['source_bytes']} -> "
    audio = f" ({record['audio_bytes']} of audio)" if record["audio_bytes"] else ""
    return (
        f"{record['input']} -> {record['output']}  {record['width']}x{record['height']} x {record['frames']}  {before}"
        f"{record['bytes']} bytes{audio}  {record['kbps']:.0f} kbit/s{db}  {record['fps']:.1f} frames/s"
    )
