"""`calotype encode -m overfit`: one picture, fitted for as long as its effort or minutes allow."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UsageError
from . import batch, terminal

if TYPE_CHECKING:
    from ..codecs.limits import Limits
    from ..codecs.overfit import OverfitCodec, State


def fits(codec: Any) -> bool:
    """Whether it is a codec that is fitted to a picture."""
    return getattr(codec, "fits", False)


def encode_one(
    codec: OverfitCodec,
    job: batch.Job,
    target: tuple[str, float],
    roi: Path | None,
    drop_alpha: bool,
    limits: Limits,
    as_json: bool,
    progress: terminal.Progress,
) -> None:
    """Encode and print a row. Ctrl-C ends the fit and writes what it has, with a target the best that met it. Raises
    UsageError, CorruptStreamError, LimitError."""
    from ..atomic import write_bytes
    from ..codecs.pictures import read_picture
    from ..codecs.targets import Target, encode_to, psnr

    if roi is not None:
        raise UsageError("-m overfit has one quality everywhere: leave --roi out, or take an image model")
    started = time.monotonic()
    source = sys.stdin.buffer.read() if job.source is None else job.source
    picture = read_picture(source, drop_alpha, limits)
    with progress.aside():
        for line in picture.notes:
            terminal.note(f"{job.name}: {line}")
    last: list[State] = []

    def report(state: State) -> None:
        last[:] = [state]
        progress.fit(state.done, state.total, state.db, state.bpp, state.left)

    aim = Target(*target)  # type: ignore[arg-type]
    encoded = encode_to(codec, picture.pixels, aim, picture.icc, True, report=report)
    if job.target is None:
        sys.stdout.buffer.write(encoded.data)
        sys.stdout.buffer.flush()
    else:
        write_bytes(job.target, encoded.data)
    height, width = picture.pixels.shape[:2]
    size, db = len(encoded.data), psnr(encoded.reconstruction, picture.pixels)
    source_bytes = len(source) if isinstance(source, bytes) else source.stat().st_size
    record = {
        "input": job.name,
        "output": str(job.target or batch.PIPE),
        "width": width,
        "height": height,
        "source_bytes": source_bytes,
        "bytes": size,
        "ratio": round(source_bytes / size, 3),
        "bpp": round(8 * size / (width * height), 4),
        "estimated_bits": round(encoded.estimated_bits, 1),
        "quality": encoded.quality,
        "psnr": None if db == float("inf") else round(db, 3),  # JSON has no infinity
        "model": codec.bundle.name,
        "effort": codec.effort,
        "rounds": last[0].done if last else 0,
        "notes": picture.notes,
        "seconds": round(time.monotonic() - started, 3),
    }
    with progress.aside():
        terminal.row(_line(record), record, as_json, piped=job.target is None)


def _line(record: dict[str, Any]) -> str:
    db = "lossless" if record["psnr"] is None else f"{record['psnr']:.2f} dB"
    return (
        f"{record['input']} -> {record['output']}  {record['width']}x{record['height']}  {record['source_bytes']} -> "
        f"{record['bytes']} bytes ({record['ratio']:.1f}:1)  {record['bpp']:.3f} bpp  {db}  q {record['quality']:g}  "
        f"{record['rounds']} rounds in {record['seconds']:.0f} s"
    )
