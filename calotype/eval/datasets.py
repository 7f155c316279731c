"""The sets that results are published on: their files, sizes, lengths, and checksums where we could compute them.

`known_sets.json`: {set: {"title", "kind", "files": [[stem, width, height, frames, rate, sha256 | null], ...]}}; width and
height are null where a set's pictures have several sizes, `files` is a number where the names are not known to us. The
checksum is `Frames.sha256`: of the samples, whatever file they come from.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from importlib import resources

from calotype.eval.frames import CLIP, Frames


@dataclass(frozen=True)
class KnownFile:
    """stem: of the standard file name. None: not known, or several."""

    stem: str
    width: int | None
    height: int | None
    frames: int
    rate: Fraction
    sha256: str | None


@dataclass(frozen=True)
class KnownSet:
    """files: empty where only their number, `count`, is known."""

    name: str
    title: str
    kind: str
    count: int
    files: tuple[KnownFile, ...]


def _load() -> dict[str, KnownSet]:
    text = resources.files("calotype.eval").joinpath("known_sets.json").read_text(encoding="utf-8")
    found = {}
    for name, entry in json.loads(text).items():
        listed = entry["files"]
        files = [] if isinstance(listed, int) else [KnownFile(*row[:4], Fraction(row[4]), row[5]) for row in listed]
        count = listed if isinstance(listed, int) else len(files)
        found[name] = KnownSet(name, entry["title"], entry["kind"], count, tuple(files))
    return found


KNOWN: dict[str, KnownSet] = _load()


def identify(sources: Sequence[Frames], folder: str | None = None, sums: bool = True) -> tuple[str | None, list[str]]:
    """Which known set the sources are of, and what does not fit it, a sentence each; (None, []) where it is none.

    A set is recognised by the names of its files (of whatever suffix) where every source is one of them, or by `folder`,
    the name of the folder they came from. sums: compute checksums, which reads every source once; they are compared for
    sources of full length only. Part of a set is that set, with a sentence saying which part.
    """
    if not sources:
        return None, []
    matches = {name: _match(known, sources) for name, known in KNOWN.items()}
    whole = [name for name, match in matches.items() if len(match) == len(sources)]
    if whole:  # RaceHorses is in two sets, with two sizes
        best = max(whole, key=lambda name: sum(_same_size(file, source) for file, source in matches[name]))
        return best, _differences(KNOWN[best], matches[best], sums)
    named = plain(folder or "")
    for known in KNOWN.values():
        if named == plain(known.name) and not known.files:
            fits = len(sources) == known.count
            return known.name, [] if fits else [f"{len(sources)} of {known.count} files"]
    return None, []


def plain(name: str) -> str:
    """A set's name, however it is spelt: "HEVC_B" and "hevc-b" are one."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def title(name: str) -> str:
    """The word by which a clip of a set is known: "Beauty.y4m" and "Beauty_1920x1080_120fps_420_8bit_YUV.yuv" are one."""
    return re.split(r"[_.-]", name)[0].lower()


def _match(known: KnownSet, sources: Sequence[Frames]) -> list[tuple[KnownFile, Frames]]:
    """Sources with the file each is; "Beauty.y4m" and "Beauty_1080p.mp4" are both UVG's Beauty."""
    by_title = {title(file.stem) if known.kind == CLIP else file.stem.lower(): file for file in known.files}
    found = []
    for source in sources:
        stem = source.name.rsplit(".", 1)[0].lower()
        file = by_title.get(stem) or (by_title.get(title(stem)) if known.kind == CLIP else None)
        if file and source.kind == known.kind:
            found.append((file, source))
    return found


def _same_size(file: KnownFile, source: Frames) -> bool:
    return file.width is None or (file.width, file.height) == (source.width, source.height)


def _differences(known: KnownSet, matches: Sequence[tuple[KnownFile, Frames]], sums: bool) -> list[str]:
    found = []
    missing = known.count - len({file.stem for file, _ in matches})
    if missing:
        found.append(f"{known.count - missing} of {known.count} files")
    for file, source in matches:
        if not _same_size(file, source):
            found.append(f"{source.name} is {source.width} x {source.height}, not {file.width} x {file.height}")
        if source.count < file.frames:
            found.append(f"{source.name}: {source.count} of {file.frames} frames")
        elif source.count > file.frames:
            found.append(f"{source.name} has {source.count} frames, not {file.frames}")
        if known.kind == CLIP and round(source.rate) != file.rate:
            found.append(f"{source.name} has {float(source.rate):g} frames a second, not {file.rate}")
        if sums and file.sha256 and source.count == file.frames and source.sha256() != file.sha256:
            found.append(f"{source.name}: other samples than the published file (checksum)")
    return found
