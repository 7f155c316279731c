"""What is measured: the pictures and clips that a command line names.

    paths --list folders, sort--> files --open, check size and count--> Frames | Failure
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path

import numpy as np

from calotype.codecs.pictures import read_picture
from calotype.codecs.suffixes import PICTURE_SUFFIXES
from calotype.errors import CalotypeError, UsageError
from calotype.eval.clips import CLIP_SUFFIXES, open_clip
from calotype.eval.frames import PICTURE, RGB24, Frames

__all__ = ["Failure", "Frames", "open_sources"]


@dataclass(frozen=True)
class Failure:
    """A source that cannot be measured, and why."""

    source: str
    error: CalotypeError

    def __str__(self) -> str:
        return f"{self.source}: {self.error}"


def open_sources(
    paths: Sequence[Path], frames: int | None = None, limit: int | None = None, frames_as_clip: bool = False
) -> Iterator[Frames | Failure]:
    """The pictures and clips among `paths`: files, or folders whose files count (not those of folders below), sorted by
    name within each.

    frames: at most so many of each clip, 2 at least; limit: only the first so many sources. frames_as_clip: a folder of
    pictures, or each such folder in a folder, is one clip, its frames sorted by name with numbers by value. A source
    that is missing, empty, damaged, of one frame only or named as an earlier one becomes a Failure, and the rest goes
    on. Raises UsageError for bad arguments.
    """
    if not paths:
        raise UsageError("nothing to measure: give a folder, pictures or clips")
    if frames is not None and frames < 2:
        raise UsageError(f"frames {frames}: a clip has 2 at least")
    return _opened(paths, frames, limit, frames_as_clip)


def _opened(
    paths: Sequence[Path], frames: int | None, limit: int | None, frames_as_clip: bool
) -> Iterator[Frames | Failure]:
    listed = (entry for path in paths for entry in _listed(Path(path), frames_as_clip))
    names: set[str] = set()
    for entry in itertools.islice(listed, limit):
        if isinstance(entry, Failure):
            yield entry
            continue
        name = entry.name or str(entry.resolve().name)
        if name in names:
            yield Failure(name, UsageError(f"two sources are named {name}: a run tells them apart by name; rename one"))
            continue
        names.add(name)
        try:
            yield _open(entry, name, frames)
        except CalotypeError as error:
            yield Failure(name, error)
        except OSError as error:
            yield Failure(name, UsageError(f"it cannot be read: {error.strerror or error}"))


def _listed(path: Path, frames_as_clip: bool) -> Iterator[Path | Failure]:
    """Files, and folders where they are clips."""
    if not path.is_dir():
        yield path
        return
    try:
        inside = sorted(path.iterdir())
    except OSError as error:
        yield Failure(str(path), UsageError(f"the folder cannot be read: {error.strerror or error}"))
        return
    if frames_as_clip:
        found = [path] if any(map(_is_picture, inside)) else [folder for folder in inside if folder.is_dir()]
        found += [file for file in inside if file.suffix.lower() in CLIP_SUFFIXES]
    else:
        found = [file for file in inside if file.suffix.lower() in PICTURE_SUFFIXES | CLIP_SUFFIXES]
    if not found:
        yield Failure(str(path), UsageError("there is no picture and no clip in it; give the folder that holds them"))
    yield from found


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in PICTURE_SUFFIXES


def _open(path: Path, name: str, frames: int | None) -> Frames:
    if not path.exists():
        raise UsageError(f"there is no {path}; check the name")
    if path.is_dir() or path.suffix.lower() in CLIP_SUFFIXES:
        return open_clip(path, name, frames)
    picture = read_picture(path)
    height, width = picture.pixels.shape[:2]
    opener = partial(_read, path)
    return Frames(name, PICTURE, width, height, 1, Fraction(1), RGB24, opener, tuple(picture.notes))


def _read(path: Path) -> Iterator[np.ndarray]:
    yield read_picture(path).pixels
