"""`calotype encode --lossless`: one picture to a .calo file that keeps every pixel."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from . import batch, terminal

if TYPE_CHECKING:
    from ..codecs.limits import Limits


def encode_one(job: batch.Job, drop_alpha: bool, limits: Limits, as_json: bool, progress: terminal.Progress) -> None:
    """Encode and print a row. Raises UsageError, CorruptStreamError, LimitError."""
    from ..atomic import write_bytes
    from ..codecs.exactpictures import read_exact
    from ..codecs.lossless import MODEL, LosslessCodec

    started = time.monotonic()
    source = sys.stdin.buffer.read() if job.source is None else job.source
    picture = read_exact(source, drop_alpha, limits)
    with progress.aside():
        for line in picture.notes:
            terminal.note(f"{job.name}: {line}")
    data = LosslessCodec().encode(picture.pixels, picture.icc, progress.part).data
    if job.target is None:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    else:
        write_bytes(job.target, data)
    source_bytes = len(source) if isinstance(source, bytes) else source.stat().st_size
    height, width = picture.pixels.shape[:2]
    record = {
        "input": job.name,
        "output": str(job.target or batch.PIPE),
        "width": width,
        "height": height,
        "source_bytes": source_bytes,
        "bytes": len(data),
        "ratio": round(source_bytes / len(data), 3),
        "bpp": round(8 * len(data) / (width * height), 4),
        "lossless": True,
        "model": MODEL,
        "notes": picture.notes,
        "seconds": round(time.monotonic() - started, 3),
    }
    line = (
        f"{job.name} -> {record['output']}  {width}x{height}  {source_bytes} -> {len(data)} bytes ({record['ratio']:.2f}:1)  "
        f"{record['bpp']:.3f} bpp  lossless"
    )
    with progress.aside():
        terminal.row(line, record, as_json, piped=job.target is None)
