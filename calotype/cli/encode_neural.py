"""`calotype encode -m inr-video`: one clip, fitted for as long as its effort or minutes allow."""

from __future__ import annotations

import math
import sys
import time
from typing import TYPE_CHECKING, Any

from ..codecs.neural.grouphead import CODEC, NEWEST
from ..errors import UsageError
from . import batch, picturefiles, terminal
from .encode_video import VideoOptions

if TYPE_CHECKING:
    from ..codecs.limits import Limits
    from ..codecs.neural.encoder import Coded
    from ..codecs.overfit import State

NETS = tuple(NEWEST)  # of --net; the first is the default


def encode_one(
    name: str | None,
    fitting: dict[str, Any],
    job: batch.Job,
    target: tuple[str, float],
    clip: VideoOptions,
    limits: Limits,
    as_json: bool,
    progress: terminal.Progress,
) -> None:
    """Encode and print a row. name: of NETS; fitting: effort, minutes, device. Ctrl-C ends the fit and writes what it has.
    Raises UsageError, CorruptStreamError, LimitError."""
    from ..codecs.neural.encoder import Settings, encode_clip
    from ..codecs.video.media_in import open_video

    kind, quality = target
    if kind != "quality":
        raise UsageError(f"-m {CODEC} goes by --quality alone: leave --{kind} out, or take a video model")
    settings = Settings(NEWEST[name or NETS[0]], quality, **fitting)
    started = time.monotonic()
    source: Any = sys.stdin.buffer if job.source is None else job.source

    def report(state: State) -> None:
        progress.fit(state.done, state.total, state.db, state.bpp, state.left)

    with open_video(source, limits, clip.start, clip.frames, clip.audio, clip.rate) as opened:
        coded = encode_clip(opened, settings, limits, report)
        if opened.audio is not None:
            coded.notes.append(f"its audio is left out: codec '{CODEC}' has none")
        size = opened.width, opened.height
        rate = float(opened.rate)
    picturefiles.write(job, coded.data)
    record = _record(job, coded, settings.net, quality, size, rate) | {"seconds": round(time.monotonic() - started, 3)}
    with progress.aside():
        for line in coded.notes:
            terminal.note(f"{job.name}: {line}")
        terminal.row(_line(record), record, as_json, piped=job.target is None)


def _record(job: batch.Job, coded: Coded, net: str, quality: float, size: tuple[int, int], rate: float) -> dict[str, Any]:
    finite = [db for db in coded.psnr if math.isfinite(db)]
    bits = 8 * len(coded.data)
    return {
        "input": job.name,
        "output": str(job.target or batch.PIPE),
        "width": size[0],
        "height": size[1],
        "frames": coded.frames,
        "source_bytes": job.source.stat().st_size if job.source and job.source.is_file() else None,
        "bytes": len(coded.data),
        "bpp": round(bits / (coded.frames * size[0] * size[1]), 5),
        "kbps": round(bits / coded.frames * rate / 1000, 2),
        "estimated_bits": round(coded.bits, 1),
        "quality": quality,
        "psnr": round(sum(finite) / len(finite), 3) if len(finite) == coded.frames else None,  # JSON has no infinity
        "model": net,
        "steps": coded.steps,
        "group_bytes": coded.groups,
        "notes": coded.notes,
    }


def _line(record: dict[str, Any]) -> str:
    db = "" if record["psnr"] is None else f"{record['psnr']:.2f} dB (RGB)  "
    return (
        f"{record['input']} -> {record['output']}  {record['width']}x{record['height']} x {record['frames']}  "
        f"{record['bytes']} bytes  {record['bpp']:.4f} bpp  {db}q {record['quality']:g}  {record['model']}, "
        f"{record['steps']} steps in {record['seconds']:.0f} s"
    )
