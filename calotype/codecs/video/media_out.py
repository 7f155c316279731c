"""Writing clips: y4m, raw video, pictures in a folder, and files that PyAV makes. Nothing is left of what fails."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

from ...atomic import replacing
from ...errors import CalotypeError, UsageError
from .. import y4m
from ..pictures import write_picture
from ..suffixes import PICTURE_FORMATS
from ..y4m import Planes
from . import colour as conversion
from .audio import AudioDescription
from .numbered import is_numbered
from .sink import Clip, VideoSink

__all__ = ["Clip", "VideoSink", "open_output"]

STREAMS = ("y4m", "yuv")
MOVIES = ("mp4", "mov", "mkv", "webm")


def open_output(
    target: Path | str | BinaryIO,
    form: str | None,
    clip: Clip,
    audio: AudioDescription | None = None,
    codec: str | None = None,
    quality: float | None = None,
) -> VideoSink:
    """Begin to write a clip; use the sink as a context manager.

    target: a file, "-" for standard output, an open binary stream, a folder for pictures (one that exists, or a name that
    ends in "/" or has no suffix), or the pattern of their names ("frames/%05d.png"). form: y4m, yuv, mp4, mov, mkv, webm,
    or a picture's suffix; None goes by the target's suffix, y4m for a stream. audio: of the packets to come. codec: h264,
    ffv1, vp9 or av1, None for what the form is for (h264 in mp4 and mov, ffv1, which is lossless, in mkv, vp9 in webm).
    quality: the codec's CRF. Raises UsageError (a form, codec or audio that cannot be written so), CalotypeError.
    """
    if isinstance(target, str | Path) and str(target) == "-":
        target = sys.stdout.buffer
    if not isinstance(target, str | Path):
        form = form or "y4m"
    elif form is None:
        form = _form(target)
    form = form.lower().lstrip(".")
    if form not in MOVIES and (codec or quality is not None):
        raise UsageError(f"{form} has no codec or quality to choose; leave it out, or write .mp4, .mov, .mkv or .webm")
    with ExitStack() as stack:
        if form in PICTURE_FORMATS and isinstance(target, str | Path):
            folder, name = _split(target, form)
            sink: VideoSink = _Pictures(stack.enter_context(_folder(folder)), name, clip)
        elif form in STREAMS:
            stream = stack.enter_context(_opened(target)) if isinstance(target, str | Path) else target
            sink = _Y4m(stream, clip) if form == "y4m" else _Raw(stream, clip)
        elif form in MOVIES:
            from .moviesink import MovieSink

            if isinstance(target, str | Path):
                target = stack.enter_context(replacing(target))
            sink = MovieSink(target, form, clip, audio, codec, quality)
        else:
            raise UsageError(f"no form {form!r} of clips to write; give {', '.join((*STREAMS, *MOVIES))} or a folder")
        if audio and form not in MOVIES:
            sink.notes.append(f"{form} holds no audio: it is left out")
        sink.committing = stack.pop_all()
        return sink


def _form(target: str | Path) -> str:
    path = Path(target)
    suffix = path.suffix.lower().lstrip(".")
    return "png" if path.is_dir() or _is_folder(target) or not suffix else suffix


def _is_folder(target: Path | str) -> bool:
    return str(target).endswith(("/", os.sep))


def _split(given: Path | str, form: str) -> tuple[Path, str]:
    """The folder and the pattern of names."""
    target = Path(given)
    if is_numbered(target):
        return target.parent, target.name
    if target.suffix and not target.is_dir() and not _is_folder(given):
        raise UsageError(f"a clip is many pictures: give a folder, or a pattern such as {target.stem}-%05d{target.suffix}")
    return target, f"%05d.{form}"


@contextlib.contextmanager
def _opened(path: str | Path) -> Iterator[BinaryIO]:
    with replacing(path) as temporary, open(temporary, "wb") as stream:
        yield stream


@contextlib.contextmanager
def _folder(target: Path) -> Iterator[Path]:
    """A folder beside `target` that becomes it, or whose files move into it."""
    target = Path(os.path.realpath(target))
    if target.exists() and not target.is_dir():
        raise UsageError(f"cannot write frames to {target}: it is a file; give a folder")
    temporary = target.with_name(f".{target.name[:40]}.calotype-tmp-{os.getpid()}-{secrets.token_hex(4)}")
    try:
        temporary.mkdir()
    except OSError as error:
        raise UsageError(f"cannot write {target}: {error.strerror}; make its parent folder, or give another") from error
    try:
        yield temporary
        try:
            if target.is_dir():
                for file in sorted(temporary.iterdir()):
                    os.replace(file, target / file.name)
            else:
                os.rename(temporary, target)
        except OSError as error:
            raise CalotypeError(f"cannot write {target}: {error.strerror}; give another folder") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


class _Y4m(VideoSink):
    def __init__(self, stream: BinaryIO, clip: Clip) -> None:
        super().__init__(clip, timed=False)
        self._stream = stream
        if clip.colour.matrix != "bt709":
            self.notes.append(f"y4m does not say that its colours are {clip.colour.matrix}")
        with self.writing():
            y4m.write_header(stream, clip.width, clip.height, clip.rate, clip.colour.range, clip.colour.chroma)

    def _write(self, planes: Planes, time: int) -> None:
        y4m.write_frame(self._stream, planes)

    def _finish(self) -> None:
        self._stream.flush()


class _Raw(VideoSink):
    def __init__(self, stream: BinaryIO, clip: Clip) -> None:
        super().__init__(clip, timed=False)
        self._stream = stream
        chroma = ":".join(clip.colour.chroma)
        self.notes.append(f"raw video does not say what it is: {clip.width} x {clip.height}, 8-bit {chroma}, Y, U, V in turn")

    def _write(self, planes: Planes, time: int) -> None:
        for plane in planes:
            self._stream.write(plane.tobytes())

    def _finish(self) -> None:
        self._stream.flush()


class _Pictures(VideoSink):
    def __init__(self, folder: Path, name: str, clip: Clip) -> None:
        super().__init__(clip, timed=False)
        self._folder, self._name = folder, name

    def _write(self, planes: Planes, time: int) -> None:
        rgb = conversion.to_rgb(planes, self.clip.colour)
        notes = write_picture(self._folder / (self._name % (self.written + 1)), rgb)
        self.notes += [note for note in notes if note not in self.notes]
