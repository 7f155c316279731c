"""What every encode of a picture reads, writes and says of it, whatever codec it takes."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import batch, terminal

if TYPE_CHECKING:
    from ..codecs.limits import Limits
    from ..codecs.pictures import Picture
    from ..codecs.roi import Roi


class Source:
    """A job's picture, from its start on. data: a path, or the bytes of a pipe."""

    def __init__(self, job: batch.Job):
        """Reads a pipe to its end."""
        self.job, self._started = job, time.monotonic()
        self.data: Path | bytes = sys.stdin.buffer.read() if job.source is None else job.source

    def note(self, lines: Sequence[str], progress: terminal.Progress) -> None:
        """Say what reading it lost."""
        with progress.aside():
            for line in lines:
                terminal.note(f"{self.job.name}: {line}")

    def record(self, data: bytes, shape: tuple[int, ...], **more: Any) -> dict[str, Any]:
        """Of a file written, in its fixed order. shape: (height, width, ...) of the picture."""
        height, width = shape[:2]
        size = len(self.data) if isinstance(self.data, bytes) else self.data.stat().st_size
        return {
            "input": self.job.name,
            "output": str(self.job.target or batch.PIPE),
            "width": width,
            "height": height,
            "source_bytes": size,
            "bytes": len(data),
            "ratio": round(size / len(data), 3),
            "bpp": round(8 * len(data) / (width * height), 4),
            **more,
            "seconds": round(time.monotonic() - self._started, 3),
        }


def write(job: batch.Job, data: bytes) -> None:
    """A whole file, or none; or to the pipe."""
    from ..atomic import write_bytes

    if job.target is not None:
        write_bytes(job.target, data)
        return
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def region(mask: Path | None, drop: float, picture: Picture, limits: Limits) -> Roi | None:
    """Of a picture and the file of its mask, where there is one."""
    from ..codecs.pictures import read_mask
    from ..codecs.roi import Roi

    return None if mask is None else Roi(read_mask(mask, picture.pixels.shape[:2], limits), drop)


def rounded(db: float | None) -> float | None:
    """PSNR for a record; None where it is not known or infinite: JSON has no infinity."""
    return None if db is None or math.isinf(db) else round(db, 3)


def sizes(record: dict[str, Any]) -> str:
    """How the line of a record begins."""
    return (
        f"{record['input']} -> {record['output']}  {record['width']}x{record['height']}  {record['source_bytes']} -> "
        f"{record['bytes']} bytes ({record['ratio']:.1f}:1)  {record['bpp']:.3f} bpp"
    )
