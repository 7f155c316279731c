"""Opening clips: y4m files and pipes, folders and patterns of pictures, and all that PyAV decodes."""

from __future__ import annotations

import io
import itertools
import math
import re
from collections.abc import Iterator
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

from ...errors import CorruptStreamError, UsageError
from .. import y4m
from ..header import MAGIC, Colour
from ..limits import Limits
from ..pictures import Picture, read_picture
from ..suffixes import PICTURE_SUFFIXES
from . import colour as conversion
from .numbered import is_numbered, numbered_files
from .source import ASSUMED_COLOUR, ASSUMED_COLOUR_NOTE, RGB_AS_YUV, TimedFrame, VideoSource, rgb_note

__all__ = ["TimedFrame", "VideoSource", "open_video"]

FOLDER_RATE = Fraction(30)  # of frames that are pictures, which say nothing of it


def open_video(
    source: Path | BinaryIO,
    limits: Limits | None = None,
    start: float | int = 0,
    frames: int | None = None,
    audio: bool = False,
    rate: Fraction | None = None,
    full_chroma: bool = False,
) -> VideoSource:
    """Open a clip and its first frame; all frames become 8-bit 4:2:0, upright and progressive.

    source: a file, a folder of pictures (sorted with numbers by value), a pattern of their names ("frames/%04d.png"), or an
    open binary stream such as a pipe. start: seconds to leave out. frames: at most so many, None for all. audio: gather it
    too (`VideoSource.audio`). rate: frames a second of pictures (30), which say nothing of it. full_chroma: 4:4:4 stays so,
    and RGB becomes it. Raises UsageError (no such file, no video in it, a start past its end), CorruptStreamError (no clip at
    all, damaged, cut short), LimitError; so do its frames.
    """
    limits = limits or Limits()
    if not 0 <= start < math.inf:
        raise UsageError(f"a clip cannot start at {start} seconds; give 0 or more")
    if frames is not None and frames < 1:
        raise UsageError(f"{frames} frames are none; give 1 or more")
    pattern = isinstance(source, Path) and not source.exists() and is_numbered(source)
    pictures = pattern or isinstance(source, Path) and source.is_dir()
    if rate is not None and not (rate > 0 and pictures):
        raise UsageError("a rate above 0 is given for folders and patterns of pictures alone; other clips have one")
    start = Fraction(str(float(start)))  # as it was written: 0.1 is a tenth
    with ExitStack() as stack:
        if not isinstance(source, Path):
            found = _from_stream(source, None, limits, start, frames, audio, full_chroma)
        elif pictures:
            return _from_pictures(source, pattern, limits, start, frames, rate, full_chroma)
        else:
            try:
                stream = stack.enter_context(source.open("rb"))
            except (FileNotFoundError, NotADirectoryError):
                raise UsageError(f"there is no file {source}; check the name") from None
            except PermissionError:
                raise UsageError(f"{source} may not be read; check its permissions") from None
            found = _from_stream(stream, source if source.is_file() else None, limits, start, frames, audio, full_chroma)
        found._closing.push(stack.pop_all())
        return found


def _from_stream(
    stream: BinaryIO,
    path: Path | None,
    limits: Limits,
    start: Fraction,
    frames: int | None,
    audio: bool,
    full_chroma: bool,
) -> VideoSource:
    """path: of the file, where the stream is one, which PyAV then reads by itself."""
    from .movie import open_movie

    head = stream.read(len(y4m.MAGIC))
    if not head:
        raise CorruptStreamError("the clip is empty (0 bytes); get it again")
    if head.startswith(MAGIC):
        raise UsageError("this is a .calo file already; `calotype decode` makes a clip of it")
    if head == y4m.MAGIC:
        head += stream.readline(y4m.LONGEST_LINE)
        try:
            header = y4m.read_header(io.BytesIO(head), limits)
        except UsageError:
            pass  # of other samples, or interlaced: PyAV reads those
        else:
            return _from_y4m(stream, header, b"XCOLORRANGE=" in head, start, frames)
    if path is not None:
        if path.suffix.lower() == ".yuv":
            raise UsageError("raw video does not say its size; convert it to .y4m (ffmpeg -f rawvideo -s WxH -i ...)")
        return open_movie(path, limits, start, frames, audio, full_chroma)
    try:
        return open_movie(_Pushed(head, stream), limits, start, frames, audio, full_chroma)
    except CorruptStreamError as error:
        if not head.startswith(b"ftyp", 4):
            raise
        raise CorruptStreamError(
            "this mp4 cannot be read from a pipe: it is damaged, or what describes its frames comes last in it; give the file "
            "itself, or make it with -movflags +faststart"
        ) from error


class _Pushed:
    """A stream whose first bytes were read already; it cannot seek."""

    def __init__(self, head: bytes, stream: BinaryIO) -> None:
        self._head, self._stream = head, stream

    def read(self, size: int = -1) -> bytes:
        if not self._head:
            return self._stream.read(size)
        cut = len(self._head) if size < 0 else size
        taken, self._head = self._head[:cut], self._head[cut:]
        return taken


def _first(start: Fraction, rate: Fraction) -> int:
    """Number of the first frame at or after so many seconds."""
    return math.ceil(start * rate)


# ---- y4m


def _from_y4m(
    stream: BinaryIO, header: y4m.Y4mHeader, tagged: bool, start: Fraction, frames: int | None
) -> VideoSource:
    colour = Colour("bt709", "full" if header.full else "limited", "420", 8)
    notes = [] if tagged else [ASSUMED_COLOUR_NOTE]
    for _ in range(_first(start, header.rate)):
        y4m.read_frame(stream, header)
    first = y4m.read_frame(stream, header)
    if first is None:
        if start > 0:
            raise UsageError(f"the clip ends before {float(start)} seconds; start earlier")
        raise CorruptStreamError("there is no frame in the y4m clip; make it again")
    rest = iter(lambda: y4m.read_frame(stream, header), None)
    counted = enumerate(itertools.islice(itertools.chain((first,), rest), frames))
    return VideoSource(
        width=header.width,
        height=header.height,
        rate=header.rate,
        ticks=1 / header.rate,
        _frames=(TimedFrame(planes, number) for number, planes in counted),
        colour=colour,
        notes=notes,
    )


# ---- pictures


def _from_pictures(
    source: Path,
    pattern: bool,
    limits: Limits,
    start: Fraction,
    frames: int | None,
    given: Fraction | None,
    full_chroma: bool,
) -> VideoSource:
    rate = given or FOLDER_RATE
    notes = [] if given else [f"pictures do not say their rate: {rate} frames a second are assumed"]
    if pattern:
        files, numbers = numbered_files(source)
        if not files:
            raise UsageError(f"no file has a name such as {source.name % 1} in {source.parent}; check the pattern")
        if gap := numbers[-1] - numbers[0] + 1 - len(files):
            notes.append(f"{gap} of the numbers from {numbers[0]} to {numbers[-1]} are missing: the others follow each other")
    else:
        files = sorted((file for file in source.iterdir() if file.suffix.lower() in PICTURE_SUFFIXES), key=_by_number)
        if not files:
            raise UsageError(f"there is no picture in {source}; give the folder that holds the frames")
    number = _first(start, rate)
    if number >= len(files):
        raise UsageError(f"the clip ends before {float(start)} seconds; start earlier")
    files = files[number:][:frames]
    first = read_picture(files[0], drop_alpha=True, limits=limits)
    height, width = first.pixels.shape[:2]
    notes += [rgb_note(full_chroma)]
    notes += first.notes
    if first.icc:
        notes.append("the pictures' colour profile is left out")
    colour = RGB_AS_YUV if full_chroma else ASSUMED_COLOUR
    return VideoSource(
        width=width,
        height=height,
        rate=rate,
        ticks=1 / rate,
        _frames=_picture_frames(files, first, limits, colour),
        colour=colour,
        notes=notes,
    )


def _by_number(path: Path) -> list[tuple[bool, int, str]]:
    parts = re.split(r"(\d+)", path.name)
    return [(part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in parts]


def _picture_frames(files: list[Path], first: Picture, limits: Limits, colour: Colour) -> Iterator[TimedFrame]:
    for number, file in enumerate(files):
        pixels = first.pixels if not number else read_picture(file, drop_alpha=True, limits=limits).pixels
        if pixels.shape != first.pixels.shape:
            (high, wide), (height, width) = pixels.shape[:2], first.pixels.shape[:2]
            raise CorruptStreamError(
                f"the pictures have several sizes: {file.name} is {wide} x {high}, {files[0].name} is {width} x {height}; "
                "give frames of one size"
            )
        yield TimedFrame(conversion.to_planes(pixels, colour), number)
