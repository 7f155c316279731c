"""Which quality each frame is coded at, so that the clip comes out at a quality, a rate, a size or a PSNR.

One loop serves every target:

    for info, ahead in look_ahead(infos, LOOK_AHEAD):
        quality = controller.quality(info, ahead)
        ...  code the frame at that quality  ...
        record = controller.spent(info, bits, psnr)

`Constant`: the clip's quality plus the structure's offsets. `Controller`: a rate or a size, in one pass by what it learns on
the way, or in two, given the records of the first. `search`: a PSNR, by whole encodes with `Constant`; a loop in flight would
reach it too, but at a quality that changes from scene to scene, which nobody asks a PSNR for.

The cost of a frame, log2 of its bits, is taken for a line in quality and in log2 of complexity: one line for all frames, plus
a deviation for each kind and layer, all followed by one Kalman filter.
"""

from __future__ import annotations

import json
import math
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import count, islice, product
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np

from ...errors import UsageError
from .structure import Coded, Structure, schedule

T = TypeVar("T")

LOOK_AHEAD = 32  # frames that a rate is planned with
WINDOW = 96  # frames that a rate is kept over where the clip's length is unknown
NOW = 24  # frames ahead that are taken to cost what the last ones did; those after them what the clip did so far
STEP, SCENE_STEP, FIRST_STEP, FIRST = 4.0, 30.0, 8.0, 8  # most that the quality moves: at a frame, a scene, its first frames
CALM = 0.3  # share of the way to its aim that the quality moves, where many frames remain
# where the lines begin: log2 of bits per pixel at quality 50 and complexity 8; octaves an octave of complexity, 100 of quality.
# by frames of eight training clips at 320x176, within 0.7 octaves (I 0.1, P 0.3)
LEVEL, GAIN, SLOPE = {"I": -1.5, "P": -2.4, "B": -2.8}, {"I": 0.9, "P": 0.9, "B": 1.0}, 4.8
QUALITY, COMPLEXITY = 50.0, 3.0  # where those hold: quality, log2 of complexity
ALL, OWN = (1.0, 0.8, 0.3), (1.0, 0.4, 0.2)  # standard deviations of level, slope, gain: of all frames, of a kind and layer
ALL_KNOWN, OWN_KNOWN = (0.05, 0.8, 0.0), (0.05, 0.4, 0.0)  # after a first pass
DRIFT, SCENE = 0.06, 0.7  # standard deviations by which the level of all moves: a frame, a scene
SHRINKING = 10.0  # below the end of the dial
NOISE, OUTLIER = 0.2, 2.5  # of a frame, in octaves; the standard deviations beyond which a surprise counts no more


@dataclass(frozen=True)
class Info:
    """A frame before it is coded. offset: to the clip's quality; complexity: above 0, of `scenes.complexity` or proportional to
    it; spread: by what the structure's offset was multiplied."""

    number: int
    kind: str
    layer: int
    offset: float
    complexity: float
    spread: float = field(default=1.0, kw_only=True)

    @staticmethod
    def of(coded: Coded, complexity: float, spread: float = 1.0) -> Info:
        """Of the scheduler's frame."""
        return Info(coded.number, coded.kind, coded.layer, coded.quality * spread + coded.rise, complexity, spread=spread)


@dataclass(frozen=True)
class Record(Info):
    """A coded frame, a line of the log. quality: 0..100, as used; psnr: dB, None where not measured or without loss."""

    quality: float
    bits: int
    psnr: float | None = None

    def line(self) -> str:
        """One line of JSON."""
        return json.dumps(asdict(self)) + "\n"


def read_log(path: str | Path) -> list[Record]:
    """The records of a log, in coding order. Raises UsageError."""
    try:
        return [Record(**json.loads(line)) for line in Path(path).read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError, TypeError) as error:
        raise UsageError(f"{path} is no log of coded frames ({error}); give what --log wrote") from error


def look_ahead(items: Iterable[T], most: int) -> Iterator[tuple[T, tuple[T, ...]]]:
    """Each item with up to `most` that follow it."""
    waiting: deque[T] = deque()
    for item in items:
        waiting.append(item)
        if len(waiting) > most:
            yield waiting.popleft(), tuple(waiting)
    while waiting:
        yield waiting.popleft(), tuple(waiting)


class Constant:
    """One quality for the clip, the structure's offsets added; they shrink above quality 90, so that at 100 every frame is as
    good as the model makes it."""

    def __init__(self, quality: float) -> None:
        self.base = quality

    def quality(self, info: Info, ahead: Sequence[Info] = ()) -> float:
        """0..100, in steps of 0.1."""
        return _step(self.base + info.offset * min(1, (100 - self.base) / SHRINKING))

    def spent(self, info: Info, bits: int, psnr: float | None = None) -> Record:
        """To be told after each frame."""
        return Record(**asdict(info), quality=self.quality(info), bits=bits, psnr=_finite(psnr))


class Controller:
    """Keeps a clip at a number of bits a frame.

    pixels: of a frame. bits: a frame, on average over the clip. frames: of the clip; None where nobody knows: the rate is
    then kept over a sliding window until the end is in sight. first: the records of a first pass over the same frames in the
    same structure, best by a Controller with the same target: the nearer its qualities, the better they foretell. Raises
    UsageError.
    """

    def __init__(
        self,
        structure: Structure,
        pixels: int,
        bits: float,
        frames: int | None = None,
        intra_period: int | None = None,
        first: Sequence[Record] | None = None,
    ) -> None:
        if not (math.isfinite(bits) and bits > 0):
            raise UsageError(f"a target of {bits:g} bits a frame: give a rate or a size above 0")
        self.structure = structure
        self.pixels, self.bits, self.frames = pixels, bits, frames if first is None else len(first)
        self.base, self.coded, self.total = None, 0, 0
        self.spread = 1.0  # of the last frame that is known
        self.intra_period, self.scene, self.sudden = intra_period, 0, 0  # last intra frame; frames until calm
        self.lines = _Lines(*((ALL, OWN) if first is None else (ALL_KNOWN, OWN_KNOWN)))
        self.complexity: dict[tuple[str, int], _Mean] = {}  # log2, of each kind and layer
        self.history: dict[tuple[str, int], _Mean] = {}  # log2 of bits at QUALITY
        self.first = None if first is None else {record.number: record for record in first}
        # what is left to code: (kind, layer, offset, first pass's quality): frames, or bits of the first pass; without one, a
        # frame whose quality rises is one that costs as much at a lower quality
        self.left: Counter[tuple[str, int, float, float]] = Counter()
        self.plan: Iterator[tuple[str, int, float, float]] = iter(())
        self.window: deque[tuple[str, int, float, float]] = deque()
        if first is not None:
            for r in first:
                self.left[r.kind, r.layer, r.offset, r.quality] += r.bits
        else:
            plan = schedule(structure, count() if frames is None else range(frames), intra_period)
            self.plan = ((c.kind, c.layer, c.quality, QUALITY - c.rise) for c in plan)
            whole = max(1, round(WINDOW / (intra_period or WINDOW))) * (intra_period or WINDOW)
            self.window.extend(islice(self.plan, whole if frames is None else frames))
            self.left.update(self.window)

    def quality(self, info: Info, ahead: Sequence[Info] = ()) -> float:
        """0..100, in steps of 0.1, for the frame that is coded next; ahead: those coded after it, as far as known: of a clip
        whose length nobody knew LOOK_AHEAD of them, fewer where it ends."""
        if self.frames is None and len(ahead) < LOOK_AHEAD:
            self._end(1 + len(ahead))
        begins = info.kind == "I" and info.number - self.scene != self.intra_period
        if info.kind == "I":
            self.scene = info.number
        if begins:
            self.sudden = FIRST
            if self.first is None and self.coded:
                self.lines.scene()
        self.spread = next((i.spread for i in (*reversed(ahead), info) if i.kind != "I"), self.spread)
        aim = self._aim([info, *ahead])
        if self.base is None:
            self.base = aim
        elif aim is not None:
            remain = math.inf if self.frames is None else self.frames - self.coded
            step = SCENE_STEP if begins else FIRST_STEP if self.sudden else STEP
            move = (aim - self.base) * (1 if self.sudden or remain <= NOW else CALM)
            self.base += min(max(move, -step), step)
        self.sudden -= self.sudden > 0 and not begins
        self.used = _step(self.base + info.offset)
        return self.used

    def spent(self, info: Info, bits: int, psnr: float | None = None) -> Record:
        """To be told after each frame, after `quality` was asked for it."""
        key, (known, features, pivot) = (info.kind, info.layer), self._known(info)
        shift = (self.used - pivot) / 100
        features[1] = shift
        self.lines.update(key, features, math.log2(max(bits, 1)) - known - SLOPE * shift)
        self.coded, self.total = self.coded + 1, self.total + bits
        if self.first is not None:
            was = self.first[info.number]
            self.left[was.kind, was.layer, was.offset, was.quality] -= was.bits
        else:
            self.complexity.setdefault(key, _Mean(12)).add(math.log2(info.complexity))
            level = math.log2(max(bits, 1)) - self.lines.slope(key) * shift
            self.history.setdefault(key, _Mean(128)).add(level)
            if self.window:
                self.left[self.window.popleft()] -= 1
            for coming in islice(self.plan, 1):
                self.window.append(coming)
                self.left[coming] += 1
        return Record(**asdict(info), quality=self.used, bits=bits, psnr=_finite(psnr))

    def _end(self, remain: int) -> None:
        """The clip turns out to end after so many frames more."""
        self.frames = self.coded + remain
        self.plan, self.window = iter(()), deque(islice(self.window, remain))
        self.left = Counter(self.window)

    def _known(self, info: Info) -> tuple[float, np.ndarray, float]:
        """log2 of bits before what is learnt, at what quality that is, and the line's features there."""
        if self.first is None:
            octaves = math.log2(info.complexity) - COMPLEXITY
            known = math.log2(self.pixels) + LEVEL[info.kind] + GAIN[info.kind] * octaves
            return known, np.array([1.0, 0.0, octaves]), QUALITY
        record = self.first.get(info.number)
        if record is None or (record.kind, record.layer) != (info.kind, info.layer):
            raise UsageError(f"frame {info.number} is not as in the first pass; give the log of this clip, in this structure")
        return math.log2(max(record.bits, 1)), np.array([1.0, 0.0, 0.0]), record.quality

    def _aim(self, coming: list[Info]) -> float | None:
        """The clip's quality at which what is left would take what is left of the budget; None past the end."""
        parts = []  # (log2 of bits at a quality, slope, offset, that quality)
        if self.first is not None:
            self._known(coming[0])
            for (kind, layer, offset, quality), bits in self.left.items():
                if bits > 0:
                    level = self.lines.line((kind, layer))[0]
                    parts.append((math.log2(bits) + level, self.lines.slope((kind, layer)), offset, quality))
        else:
            for info in coming:
                key, (known, features, pivot) = (info.kind, info.layer), self._known(info)
                parts.append((known + self.lines.mean_of(key, features), self.lines.slope(key), info.offset, pivot))
            parts += self._beyond(coming)
        remain = WINDOW if self.frames is None else self.frames - self.coded
        if remain <= 0 or not parts:
            return self.base
        if self.frames is None:
            remain = max(len(self.window), len(coming))
            over = self.total - self.bits * self.coded
            budget = self.bits * remain - min(max(over, -self.bits * remain / 2), self.bits * remain / 2)
        else:
            budget = self.bits * self.frames - self.total
        return _solve(np.array(parts), max(budget, 0.05 * self.bits * remain))

    def _beyond(self, coming: list[Info]) -> Iterator[tuple[float, float, float, float]]:
        """Parts of what comes after the frames that are known."""
        left = self.left - Counter(islice(self.window, len(coming)))
        kinds = [info.kind for info in coming[-self.structure.length :] if info.kind != "I"]
        if self.structure.moving and len(kinds) > 1 and "B" not in kinds:
            inter = [(pivot, frames) for (kind, _, _, pivot), frames in left.items() if kind != "I"]
            left = Counter({key: frames for key, frames in left.items() if key[0] == "I"})
            for (pivot, frames), entry in product(inter, self.structure.moving):
                left["P", entry.layer, entry.quality, pivot] += frames / self.structure.length
        near = 1 if self.frames is None else min(max(NOW - len(coming), 0) / max(left.total(), 1), 1)
        for (kind, layer, offset, pivot), frames in left.items():
            key = kind, layer
            complexity = 2 ** self.complexity[key].value if key in self.complexity else 2**COMPLEXITY
            offset *= self.spread if kind != "I" else 1
            known, features, _ = self._known(Info(0, kind, layer, offset, complexity))
            now = known + self.lines.mean_of(key, features)
            past = self.history[key].value if key in self.history else now
            for level, share in ((now, near), (past, 1 - near)):
                if frames * share > 0:
                    yield math.log2(frames * share) + level, self.lines.slope(key), offset, pivot


@dataclass(frozen=True)
class Result(Generic[T]):
    """A whole encode: what it reached, and whatever the caller wants back."""

    value: float
    coded: T


def search(encode: Callable[[float], Result[T]], target: float, start: float = 50.0, slope: float = 0.15) -> Result[T]:
    """The encode of the least quality 0..100 that reaches the target, by no more than 0.02 where steps of 0.1 allow.

    encode: from a quality; its value grows with quality by about `slope` a unit (dB). At most eight encodes, three as a rule:
    regula falsi, bisection where that stalls. Raises UsageError where quality 100 does not reach the target.
    """
    within, most = 0.02, 8
    low, high = (-1, 0.0), (1001, 0.0)  # step of the dial, value
    best, side, same, step = None, None, 0, min(max(round(start * 10), 0), 1000)
    for encodes in range(1, 100):
        result = encode(step / 10)
        reached = result.value >= target
        same = same + 1 if reached == side else 0
        side = reached
        if reached:
            high, best = (step, result.value), result
        else:
            low = (step, result.value)
        if low[0] == 1000:
            raise UsageError(f"a target of {target:g}: quality 100 reaches {result.value:.2f}; ask for less")
        if best and (high[1] - target <= within or encodes >= most or high[0] - low[0] <= 1):
            return best
        aim = target + within / 2
        if low[0] >= 0 and high[0] <= 1000:
            share = (aim - low[1]) / max(high[1] - low[1], 1e-9)
            step = low[0] + round(share * (high[0] - low[0])) if same < 2 else (low[0] + high[0]) // 2
        else:
            step += round((aim - result.value) / slope * 10) * (1 + same)
        step = min(max(step, low[0] + 1), high[0] - 1)
    raise AssertionError("each encode narrows the dial")


class _Mean:
    """A running mean over the last frames or so."""

    def __init__(self, frames: int) -> None:
        self.frames, self.seen, self.value = frames, 0, 0.0

    def add(self, value: float) -> None:
        self.seen = min(self.seen + 1, self.frames)
        self.value += (value - self.value) / self.seen


class _Lines:
    """Kalman filter over (level, slope, gain): of all frames, and each kind and layer's deviation."""

    def __init__(self, common: tuple[float, ...], own: tuple[float, ...]) -> None:
        self.own = np.square(own)
        self.mean, self.spread = np.zeros(3), np.diag(np.square(common))
        self.at: dict[tuple[str, int], int] = {}

    def line(self, key: tuple[str, int]) -> np.ndarray:
        """(level, slope, gain), to be added to where they began."""
        at = self.at.get(key)
        return self.mean[:3] if at is None else self.mean[:3] + self.mean[at : at + 3]

    def slope(self, key: tuple[str, int]) -> float:
        """Octaves a 100 of quality."""
        return min(max(SLOPE + float(self.line(key)[1]), 2.0), 10.0)

    def mean_of(self, key: tuple[str, int], features: np.ndarray) -> float:
        """log2 of the mean factor at those features: above the line, the more so the less sure it is."""
        at = self.at.get(key)
        if at is None:
            variance = features @ (self.spread[:3, :3] + np.diag(self.own)) @ features
        else:
            weights = np.zeros(len(self.mean))
            weights[:3] = weights[at : at + 3] = features
            variance = weights @ self.spread @ weights
        return float(self.line(key) @ features) + math.log(2) / 2 * (variance + NOISE**2)

    def scene(self) -> None:
        """The level is less sure from here on."""
        self.spread[0, 0] += SCENE**2

    def update(self, key: tuple[str, int], features: np.ndarray, value: float) -> None:
        """A frame of features (1, quality, complexity) took `value` octaves more than the lines' beginning says."""
        if key not in self.at:
            self.at[key] = size = len(self.mean)
            self.mean = np.append(self.mean, np.zeros(3))
            spread = np.zeros((size + 3, size + 3))
            spread[:size, :size], spread[size:, size:] = self.spread, np.diag(self.own)
            self.spread = spread
        at = self.at[key]
        self.spread[0, 0] += DRIFT**2
        weights = np.zeros(len(self.mean))
        weights[:3] = weights[at : at + 3] = features
        along = self.spread @ weights
        variance = weights @ along + NOISE**2
        limit = OUTLIER * math.sqrt(variance)
        surprise = min(max(value - weights @ self.mean, -limit), limit)
        self.mean += along * (surprise / variance)
        self.spread -= np.outer(along, along / variance)


def _solve(parts: np.ndarray, budget: float) -> float:
    """The quality 0..100 of the clip at which the parts together take the budget, or the end of the dial that is nearest."""
    level, slope, offset, pivot = parts.T
    low, high = -offset.max(), 100 - offset.min()
    for _ in range(16):
        middle = (low + high) / 2
        quality = np.clip(middle + offset, 0, 100)
        if np.exp2(level + slope * (quality - pivot) / 100).sum() > budget:
            high = middle
        else:
            low = middle
    return float(low + high) / 2


def _step(quality: float) -> float:
    return round(min(max(quality, 0.0), 100.0), 1)


def _finite(psnr: float | None) -> float | None:
    return psnr if psnr is not None and math.isfinite(psnr) else None
