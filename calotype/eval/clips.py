"""Clips from files: .y4m, .yuv, folders of frame pictures, and what PyAV decodes; all become 8-bit 4:2:0.

Counts are checked by going through the whole file once, up to the frames asked for.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from calotype.codecs import y4m
from calotype.codecs.limits import Limits
from calotype.codecs.pictures import read_picture
from calotype.codecs.suffixes import PICTURE_SUFFIXES
from calotype.errors import CorruptStreamError, UsageError
from calotype.eval import rawvideo
from calotype.eval.colour import NOTE, yuv420_of
from calotype.eval.frames import CLIP, YUV420P, Frame, Frames

MOVIE_SUFFIXES = frozenset({".mp4", ".mkv", ".webm", ".mov", ".m4v", ".avi"})
CLIP_SUFFIXES = MOVIE_SUFFIXES | {".y4m", ".yuv"}
FOLDER_RATE = Fraction(30)  # of frames in a folder, which say nothing of it


def open_clip(path: Path, name: str, frames: int | None = None) -> Frames:
    """A file by its suffix (of CLIP_SUFFIXES), or a folder of frame pictures, sorted with numbers by value.

    frames: at most so many. Raises UsageError (fewer than two frames, no size in the name of a .yuv, not 8-bit 4:2:0),
    CorruptStreamError (damaged, cut short, frames of several sizes), LimitError.
    """
    suffix = path.suffix.lower()
    if path.is_dir():
        return _checked(_folder(path, name, frames), frames)
    if suffix == ".y4m":
        return _checked(_y4m(path, name, frames), frames)
    if suffix == ".yuv":
        return _checked(_raw(path, name, frames), frames)
    return _checked(_movie(path, name, frames), frames)


def _checked(clip: Frames, frames: int | None) -> Frames:
    if clip.count < 2:
        found = "one frame" if clip.count else "no frame"
        raise UsageError(f"the clip has {found}, which says nothing of a video codec; give 2 at least")
    if frames is not None and clip.count < frames:
        note = f"it has {clip.count} frames, fewer than the {frames} asked for"
        return replace(clip, notes=(*clip.notes, note))
    return clip


def _fewer(count: int, frames: int | None) -> int:
    return count if frames is None else min(count, frames)


# ---- .y4m and .yuv


def _y4m(path: Path, name: str, frames: int | None) -> Frames:
    with path.open("rb") as stream:
        header = y4m.read_header(stream)
        count = y4m.count_frames(stream, header, frames)
    opener = partial(_y4m_frames, path, count)
    return Frames(name, CLIP, header.width, header.height, count, header.rate, YUV420P, opener)


def _y4m_frames(path: Path, count: int) -> Iterator[Frame]:
    with path.open("rb") as stream:
        header = y4m.read_header(stream)
        for _ in range(count):
            planes = y4m.read_frame(stream, header)
            if planes is None:
                return
            yield planes


def _raw(path: Path, name: str, frames: int | None) -> Frames:
    width, height, rate = rawvideo.parse_name(path.stem)
    Limits().check_picture(width, height, y4m.frame_bytes(width, height))
    count = _fewer(rawvideo.count_raw(path, width, height), frames)
    opener = partial(rawvideo.read_raw, path, width, height, count)
    return Frames(name, CLIP, width, height, count, rate, YUV420P, opener)


# ---- folders of frames


def _pictures(folder: Path) -> list[Path]:
    def by_number(path: Path) -> list[tuple[bool, int, str]]:
        parts = re.split(r"(\d+)", path.name)
        return [(part.isdigit(), int(part) if part.isdigit() else 0, part) for part in parts]

    return sorted((file for file in folder.iterdir() if file.suffix.lower() in PICTURE_SUFFIXES), key=by_number)


def _folder(path: Path, name: str, frames: int | None) -> Frames:
    files = _pictures(path)
    if not files:
        raise UsageError("there is no picture in it; give the folder that holds the frames")
    files = files[: _fewer(len(files), frames)]
    first = read_picture(files[0])
    height, width = first.pixels.shape[:2]
    for file in files:
        found = _size(file)
        if found not in ((width, height), (height, width)):  # turned pictures are seen when they are read
            raise CorruptStreamError(
                f"its frames have several sizes: {file.name} is {found[0]} x {found[1]}, {files[0].name} is {width} x "
                f"{height}; without --frames-as-clip they are pictures"
            )
    opener = partial(_folder_frames, tuple(files))
    rate = FOLDER_RATE
    notes = (NOTE, f"frames in a folder have no rate: {FOLDER_RATE} a second are assumed", *first.notes)
    return Frames(name, CLIP, width, height, len(files), rate, YUV420P, opener, notes)


def _size(file: Path) -> tuple[int, int]:
    try:
        with Image.open(file) as image:
            return image.size
    except (OSError, ValueError, SyntaxError) as error:
        raise CorruptStreamError(f"{file.name} is no picture that can be read ({error}); get it again") from error


def _folder_frames(files: tuple[Path, ...]) -> Iterator[Frame]:
    for file in files:
        yield yuv420_of(read_picture(file).pixels)


# ---- .mp4, .mkv, .webm, ... through PyAV


def _movie(path: Path, name: str, frames: int | None) -> Frames:
    import av

    with _movie_errors():
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise UsageError("there is no video in it; give another file")
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            rate = stream.average_rate or stream.guessed_rate
            if not rate:
                raise UsageError("it does not say its frame rate; convert it to .y4m")
            count, width, height, form = 0, 0, 0, ""
            # containers may be wrong about the number of frames: only decoding tells
            for frame in itertools.islice(container.decode(stream), frames):
                if not count:
                    width, height, form = frame.width, frame.height, frame.format.name
                    Limits().check_picture(width, height, y4m.frame_bytes(width, height))
                count += 1
    notes = []
    if form not in ("yuv420p", "yuvj420p"):
        notes.append(f"its {form} frames are converted to 8-bit 4:2:0")
    opener = partial(_movie_frames, path, count)
    return Frames(name, CLIP, width, height, count, Fraction(rate), YUV420P, opener, tuple(notes))


def _movie_frames(path: Path, count: int) -> Iterator[Frame]:
    import av

    with _movie_errors():
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            for frame in itertools.islice(container.decode(stream), count):
                yield _planes(frame)


def _planes(frame: Any) -> Frame:
    if frame.format.name not in ("yuv420p", "yuvj420p"):
        frame = frame.reformat(format="yuv420p")
    found = []
    for plane, (rows, columns) in zip(frame.planes, y4m.plane_shapes(frame.width, frame.height), strict=True):
        lines = np.frombuffer(plane, np.uint8)[: rows * plane.line_size].reshape(rows, plane.line_size)
        found.append(lines[:, :columns].copy())
    return found[0], found[1], found[2]


@contextmanager
def _movie_errors() -> Iterator[None]:
    """What PyAV raises on damaged files becomes our own error."""
    import av

    try:
        yield
    except av.FFmpegError as error:
        raise CorruptStreamError(f"it is no video that can be decoded ({error}); get it again") from error
