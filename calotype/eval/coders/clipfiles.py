"""Clips on disk, as codecs of clips read and leave them: nothing of a clip is held in memory."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from fractions import Fraction
from functools import partial
from pathlib import Path

from calotype.codecs import y4m
from calotype.errors import CalotypeError
from calotype.eval.frames import CLIP, YUV420P, Frames
from calotype.eval.rawvideo import read_raw


def decoded_frames(source: Frames, raw: Path, bits: int, label: str) -> Frames:
    """A decoder's frames, in the raw planar file that it wrote, of `bits` a sample, named as the source.

    Raises CalotypeError where they are not as many and as large as the source's.
    """
    one = y4m.frame_bytes(source.width, source.height) * (1 if bits == 8 else 2)
    size = raw.stat().st_size
    if size != one * source.count:
        raise CalotypeError(
            f"{label}: decoded {size} bytes of {source.name} where {source.count} frames of {source.width} x "
            f"{source.height} have {one * source.count}: frames were lost, or their size was changed"
        )
    opener = partial(read_raw, raw, source.width, source.height, source.count, bits)
    return Frames(source.name, CLIP, source.width, source.height, source.count, source.rate, YUV420P, opener)


class _Spool:
    """The last source as a .y4m file, so that reading and converting it is outside what is timed, and done once."""

    source: Frames | None = None
    folder: Path | None = None
    _remover: weakref.finalize | None = None

    def file_of(self, source: Frames) -> Path:
        if self.folder is None or self.source is None or not _same(self.source, source):
            if self._remover:
                self._remover()
            self.source = None
            self.folder = Path(tempfile.mkdtemp(prefix="calotype-eval-"))
            self._remover = weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)
            with (self.folder / "source.y4m").open("wb") as stream:
                y4m.write_header(stream, source.width, source.height, Fraction(source.rate))
                for frame in source.frames():
                    y4m.write_frame(stream, frame)
            self.source = source
        return self.folder / "source.y4m"


def _same(a: Frames, b: Frames) -> bool:
    """Whether they read the same file; sources that were sent from another process are other objects each time."""
    if a is b:
        return True
    if not (isinstance(a.opener, partial) and isinstance(b.opener, partial)) or a.name != b.name:
        return False
    return a.opener.func is b.opener.func and a.opener.args == b.opener.args


_SPOOL = _Spool()


def as_y4m(source: Frames) -> Path:
    """The source as a .y4m file, kept until another one is asked for. Raises CalotypeError where it cannot be written."""
    try:
        return _SPOOL.file_of(source)
    except OSError as error:
        raise CalotypeError(
            f"cannot write {source.name} to {tempfile.gettempdir()} ({error.strerror or error}); free some space, or set TMPDIR"
        ) from error
