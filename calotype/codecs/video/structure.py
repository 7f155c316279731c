"""In which order frames are coded, from which others, and how well: GOP structures as data.

A clip is cut into segments, each of them begun by an intra frame; no reference crosses one. Within a segment frames come in
mini GOPs of n frames, coded in the order that the structure lists. Its JSON, one structure a file:

    {"intra": {"quality": 8},
     "frames": [{"show": 2, "from": [0, -2], "quality": 0, "layer": 0},
                {"show": 1, "from": [0, 2], "quality": -5, "layer": 1}]}

show: place in the mini GOP, 1..n. from: one or two references, in the same count, 0 being the last frame of the mini GOP
before (or the intra frame) and negative ones earlier; those before the segment's intra frame are left out. quality: added to
the clip's quality, 0..100. layer: depth of the hierarchy, 0 first. No frames at all: every frame is intra. "independent": true,
of all frames or none: pixels are not predicted, only the entropy model sees the one reference, an earlier frame.

Three more fields may stand beside "intra". "adaptive": true: frames' offsets grow and shrink with how much of a frame the one
before tells (`hierarchy.py`). "moving": another list of as many frames, none of which refers to a later one: for mini GOPs
whose frames tell little of each other, where a hierarchy over time costs more than it saves. "rise": {"every": 16, "most": 3}:
frames have 1 more of quality for each 16 frames since the segment or scene began, at most 3: for chains, that sink as they
live off their first frames.

A mini GOP that a segment's end cuts short to k frames: where no frame refers to a later one, the frames with show <= k;
elsewhere the k-th from what the first listed is coded from, then the middle of every gap from the gap's two ends, with the
quality of its layer.

A scene that begins without an intra frame ends the mini GOP before it. Its first frame names the last one and has the quality
of an intra frame, and no later frame refers across it; encoders may code it by itself.

The decoder keeps decoded pictures by display number; each coded frame says which of them to drop after it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Set
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Generic, Literal, TypeVar

from ...errors import CorruptStreamError, UsageError

MOST_HELD = 8  # pictures kept for later frames
LONGEST = 64  # frames of a mini GOP

T = TypeVar("T")


@dataclass(frozen=True)
class Entry:
    """One frame of a mini GOP: place, places of its references, quality offset, layer, whether it is independent."""

    show: int
    references: tuple[int, ...]
    quality: float
    layer: int
    independent: bool = False


@dataclass(frozen=True)
class Structure:
    """A checked structure. intra: the quality offset of intra frames. frames: a mini GOP in coding order, () for all intra.
    adaptive: whether the frames' offsets are those of clips of middling motion, and the encoder's to fit. moving: a mini GOP
    where there is more motion, () for the same one. rise: frames in which quality rises by 1, and the most that it rises."""

    name: str
    intra: float
    frames: tuple[Entry, ...]
    adaptive: bool = False
    moving: tuple[Entry, ...] = ()
    rise: tuple[int, float] = (1, 0)

    def __post_init__(self) -> None:
        _check(self)

    @property
    def length(self) -> int:
        """Frames of a whole mini GOP; 0 where every frame is intra. No frame waits for more than that many others."""
        return len(self.frames)

    def entries(self, count: int, moving: bool = False) -> tuple[Entry, ...]:
        """A mini GOP of `count` frames, 1..length, in coding order."""
        frames = (moving and self.moving) or self.frames
        if count == self.length:
            return frames
        if _forward(frames):
            return tuple(entry for entry in frames if entry.show <= count)
        return self._dyadic(count)

    def risen(self, age: int) -> float:
        """How much higher the quality of a frame is, so many frames after its segment's or scene's first one."""
        return min(age // self.rise[0], self.rise[1])

    def returns_to(self, back: int) -> bool:
        """Whether a frame of a later mini GOP may refer to the picture `back` >= 0 frames before the end of this one."""
        reaches = (-r for e in (*self.frames, *self.moving) for r in e.references if r <= 0)
        return any(reach >= back and (reach - back) % self.length == 0 for reach in reaches)

    @cached_property
    def held(self) -> int:
        """The most pictures that are kept for later frames at any time."""
        if not self.frames:
            return 0
        reach = max(-r for e in (*self.frames, *self.moving) for r in e.references)
        kept, most, base = {0}, 1, 0
        for _ in range(reach // self.length + 2):
            most = max([most, *(held for _, _, held in _plan(self, self.entries(self.length), base, 0, kept, False))])
            base += self.length
        for moving in (False, True):
            for count in range(1, self.length + 1):
                entries = self.entries(count, moving)
                most = max([most, *(held for _, _, held in _plan(self, entries, base, 0, set(kept), count < self.length))])
                entries, stays = (*entries, self.scene(count)), base + count + 1
                most = max([most, *(held for _, _, held in _plan(self, entries, base, 0, set(kept), True, stays))])
        return most

    @property
    def parallel(self) -> bool:
        """Whether frames may be coded side by side: not where each refers to the one before it in coding order."""
        chain = zip(self.frames, self.frames[1:], strict=False)
        return not self.frames or any(before.show not in entry.references for before, entry in chain)

    @property
    def independent(self) -> bool:
        """Whether no frame's pixels are predicted."""
        return all(entry.independent for entry in self.frames)

    def scene(self, after: int) -> Entry:
        """The first frame of a scene without an intra frame, so many frames after the last mini GOP."""
        return Entry(after + 1, (after,), self.intra, 0)

    def _dyadic(self, count: int) -> tuple[Entry, ...]:
        qualities = {entry.layer: entry.quality for entry in reversed(self.frames)}
        deepest = max(qualities)

        def entry(show: int, references: tuple[int, ...], depth: int) -> Entry:
            layer = min(depth, deepest)
            return Entry(show, references, qualities[layer], layer)

        def between(low: int, high: int, depth: int) -> Iterator[Entry]:
            if high - low > 1:
                middle = (low + high) // 2
                yield entry(middle, (low, high), depth)
                yield from between(low, middle, depth + 1)
                yield from between(middle, high, depth + 1)

        return entry(count, self.frames[0].references, 0), *between(0, count, 1)


@dataclass(frozen=True)
class Coded(Generic[T]):
    """A frame in coding order. number, references, drop: display numbers; quality: offset to the clip's; rise: added to that,
    however far offsets lie apart; independent: as of `Entry`.

    drop: pictures, the frame itself among them, that no later frame refers to; each is dropped once, as soon as that is
    known, those of the segment before by the intra frame at the latest.
    """

    frame: T
    number: int
    kind: Literal["I", "P", "B"]
    references: tuple[int, ...]
    quality: float
    layer: int
    drop: tuple[int, ...]
    independent: bool = False
    rise: float = 0


def load(name_or_path: str | Path) -> Structure:
    """A structure by its name (`names()`), or from a JSON file. Raises UsageError saying what is wrong with it."""
    shipped = _shipped()
    if name_or_path in shipped:
        return parse(str(name_or_path), shipped[name_or_path])
    path = Path(name_or_path)
    if path.suffix != ".json":
        raise UsageError(f"no structure '{name_or_path}': take one of {', '.join(shipped)}, or a .json file")
    try:
        return parse(path.stem, json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"structure {path} cannot be read ({error}); give a JSON file") from error


def names() -> tuple[str, ...]:
    """The structures that come with Calotype."""
    return tuple(_shipped())


def parse(name: str, data: object) -> Structure:
    """A structure of its JSON form. Raises UsageError."""
    top = _fields(f"structure '{name}'", data, {"intra", "frames"}, {"adaptive", "moving", "rise"})
    intra = _fields(f"structure '{name}', intra", top["intra"], {"quality"})
    if not isinstance(adaptive := top.get("adaptive", False), bool):
        raise UsageError(f"structure '{name}': 'adaptive' is true or false")
    lists = [_entries(f"structure '{name}', {key}", top.get(key, [])) for key in ("frames", "moving")]
    rise = _fields(f"structure '{name}', rise", top.get("rise", {"every": 1, "most": 0}), {"every", "most"})
    if not _whole(rise["every"]) or rise["every"] < 1:
        raise UsageError(f"structure '{name}', rise: 'every' is a number of frames, 1 or more")
    most = _offset(f"structure '{name}', rise, 'most'", rise["most"])
    return Structure(
        name, _offset(f"structure '{name}', intra", intra["quality"]), lists[0], adaptive, lists[1], (rise["every"], most)
    )


def _entries(name: str, data: object) -> tuple[Entry, ...]:
    if not isinstance(data, list):
        raise UsageError(f"{name}: no list of frames")
    entries = []
    for at, item in enumerate(data, 1):
        where = f"{name}, frame {at} of the list"
        fields = {"independent": False} | _fields(where, item, {"show", "from", "quality", "layer"}, {"independent"})
        if not isinstance(fields["from"], list) or not all(map(_whole, (fields["show"], fields["layer"], *fields["from"]))):
            raise UsageError(f"{where}: 'show' and 'layer' are whole numbers, 'from' a list of them")
        if not isinstance(fields["independent"], bool):
            raise UsageError(f"{where}: 'independent' is true or false")
        quality = _offset(where, fields["quality"])
        entries.append(Entry(fields["show"], tuple(fields["from"]), quality, fields["layer"], fields["independent"]))
    return tuple(entries)


def schedule(
    structure: Structure,
    frames: Iterable[T],
    intra_period: int | None = None,
    cuts: Callable[[T], bool] | Iterable[bool] | None = None,
    moving: Callable[[list[T]], bool] = lambda frames: False,
    scenes: Callable[[T], bool] = lambda frame: False,
) -> Iterator[Coded[T]]:
    """Frames in display order to frames in coding order, holding one mini GOP at most.

    intra_period: an intra frame at most that many frames after the last; None, only where a clip or a scene begins.
    cuts: asked once for every frame in turn, or a flag each: whether a scene begins there, with an intra frame. moving:
    asked for the frames of each mini GOP, where the structure makes a difference. scenes: asked for frames that are not
    to be intra: whether a scene begins there all the same. Raises UsageError.
    """
    if intra_period is not None and intra_period < 1:
        raise UsageError(f"an intra period of {intra_period}: give 1 or more frames")
    flags = iter(() if cuts is None or callable(cuts) else cuts)
    waiting: list[T] = []
    kept: set[int] = set()
    first = base = segment = 0  # no frame refers to what is before `first`: the segment's or the scene's first frame

    def of_waiting() -> tuple[Entry, ...]:
        return structure.entries(len(waiting), bool(structure.moving) and moving(waiting)) if waiting else ()

    def group(ends: bool) -> Iterator[Coded[T]]:
        return _group(structure, of_waiting(), waiting, base, first, kept, ends)

    for number, frame in enumerate(frames):
        cut = cuts(frame) if callable(cuts) else next(flags, False)
        if number == 0 or cut or number - segment == intra_period or not structure.frames:
            yield from group(True)
            drop = kept if structure.frames else {number}
            yield Coded(frame, number, "I", (), structure.intra, 0, tuple(sorted(drop)))
            waiting, kept, first, base = [], {number} - drop, number, number
            segment = number
            continue
        if not structure.independent and scenes(frame):
            entries = *of_waiting(), structure.scene(len(waiting))
            yield from _group(structure, entries, [*waiting, frame], base, first, kept, True, number)
            waiting, first, base = [], number, number
            continue
        waiting.append(frame)
        if len(waiting) == structure.length:
            yield from group(False)
            waiting, base = [], number
    yield from group(True)


class Reorder(Generic[T]):
    """Frames in coding order back to display order, each as soon as all before it are there.

    most: frames that may wait at once, the mini GOP's length (`Structure.length`). first: the display number that begins.
    """

    def __init__(self, most: int = LONGEST, first: int = 0) -> None:
        self.most, self.next = most, first
        self.waiting: dict[int, T] = {}

    def push(self, number: int, frame: T) -> list[T]:
        """The frames that can be shown now. Raises CorruptStreamError: a number comes twice, or one is missing."""
        if number < self.next or number in self.waiting:
            raise CorruptStreamError(f"frame {number} comes twice in the stream; get it again")
        self.waiting[number] = frame
        ready = []
        while self.next in self.waiting:
            ready.append(self.waiting.pop(self.next))
            self.next += 1
        if len(self.waiting) > self.most:
            raise CorruptStreamError(f"frame {self.next} is missing from the stream; get it again")
        return ready

    def close(self) -> None:
        """At the stream's end. Raises CorruptStreamError where a frame is missing."""
        if self.waiting:
            raise CorruptStreamError(f"frame {self.next} is missing from the stream; get it again")


def _group(
    structure: Structure,
    entries: tuple[Entry, ...],
    frames: list[T],
    base: int,
    first: int,
    kept: set[int],
    ends: bool,
    stays: int | None = None,
) -> Iterator[Coded[T]]:
    """A mini GOP of the frames after display number `base`, in a segment or scene that begins at `first`; keeps `kept` up to
    date."""
    for coded, drop, _ in _plan(structure, entries, base, first, kept, ends, stays):
        number, references = base + coded.show, tuple(base + r for r in coded.references if base + r >= first)
        kind = "P" if max(references) < number else "B"
        rise = structure.risen(0 if number == stays else number - first)
        frame = frames[coded.show - 1]
        yield Coded(frame, number, kind, references, coded.quality, coded.layer, drop, coded.independent, rise)


def _plan(
    structure: Structure,
    entries: tuple[Entry, ...],
    base: int,
    first: int,
    kept: set[int],
    ends: bool,
    stays: int | None = None,
) -> Iterator[tuple[Entry, tuple[int, ...], int]]:
    """Each frame of a mini GOP: its entry, the pictures to drop after it, and how many are then kept. ends: no later mini GOP
    refers to any of them but `stays`."""
    for at, entry in enumerate(entries, 1):
        kept.add(base + entry.show)
        later = {stays, *(base + r for e in entries[at:] for r in e.references)}
        drop = {k for k in kept if k not in later and (ends or not structure.returns_to(base + len(entries) - k))}
        kept -= drop
        yield entry, tuple(sorted(drop)), len(kept)


def _check(structure: Structure) -> None:
    """Raises UsageError where no encoder or decoder could follow the structure."""
    name, length = f"structure '{structure.name}'", structure.length
    if length > LONGEST:
        raise UsageError(f"{name}: {length} frames in a mini GOP; take at most {LONGEST}")
    _check_frames(name, structure.frames)
    if structure.moving:
        _check_frames(f"{name}, moving", structure.moving)
        independent = any(entry.independent for entry in (*structure.frames, *structure.moving))
        if len(structure.moving) != length or independent or not _forward(structure.moving):
            raise UsageError(f"{name}: 'moving' has other than {length} frames, independent ones, or references to later ones")
    if structure.held > MOST_HELD:
        raise UsageError(f"{name}: {structure.held} pictures are kept at once; at most {MOST_HELD} may be: refer to fewer")


def _forward(frames: tuple[Entry, ...]) -> bool:
    """Whether no frame refers to a later one."""
    return all(reference < entry.show for entry in frames for reference in entry.references)


def _check_frames(name: str, frames: tuple[Entry, ...]) -> None:
    """`_check`, of one list."""
    length, coded = len(frames), {0}
    for entry in frames:
        where = f"{name}, frame {entry.show}"
        if not 1 <= entry.show <= length:
            raise UsageError(f"{where}: 'show' is not within 1..{length}, the number of frames listed")
        if entry.show in coded:
            raise UsageError(f"{where} is shown twice")
        if not 1 <= len(set(entry.references)) == len(entry.references) <= 2:
            raise UsageError(f"{where}: 'from' names {list(entry.references)}; give one or two different references")
        for reference in entry.references:
            if reference >= 0 and reference not in coded:
                raise UsageError(f"{where}: its reference {reference} was never coded before it; list that frame first")
            if reference < -MOST_HELD * length:
                raise UsageError(f"{where}: its reference {reference} is more than {MOST_HELD} mini GOPs back")
        if max(entry.references) < 0:
            raise UsageError(f"{where}: all its references are before 0, where a segment may begin; name 0 or a later one")
        if entry.independent and (len(entry.references) > 1 or entry.references[0] >= entry.show):
            raise UsageError(f"{where}: an independent frame has one reference, an earlier frame")
        if entry.independent != frames[0].independent:
            raise UsageError(f"{where}: all frames are independent or none is")
        if not 0 <= entry.layer < length:
            raise UsageError(f"{where}: 'layer' is not within 0..{length - 1}")
        coded.add(entry.show)


def _shipped() -> dict[str, object]:
    return json.loads(resources.files(__package__).joinpath("structures.json").read_text(encoding="utf-8"))


def _fields(where: str, data: object, wanted: set[str], optional: Set[str] = frozenset()) -> dict:
    if not isinstance(data, dict) or set(data) - optional != wanted:
        found = f"has {sorted(data)}" if isinstance(data, dict) else "is no object"
        raise UsageError(f"{where} {found}; give exactly {sorted(wanted)}")
    return data


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _offset(where: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not -100 <= value <= 100:
        raise UsageError(f"{where}: 'quality' is not a number within -100..100")
    return value
