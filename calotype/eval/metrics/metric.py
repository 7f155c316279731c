"""What a metric is, what it gets, and how the value of a clip comes from those of its frames."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np

from calotype.errors import CalotypeError, UsageError
from calotype.eval.frames import CLIP, PICTURE, Frame

Planes = tuple[np.ndarray, np.ndarray, np.ndarray]
CHANNELS = {PICTURE: "RGB", CLIP: "YUV"}


class MetricError(CalotypeError):
    """A metric's backend failed while it measured; the other metrics are not touched by that (exit code 1)."""


class HasFrames(Protocol):
    """`calotype.eval.frames.Frames`, or what is like it.

    A picture gives one (H, W, 3) uint8 RGB array, a clip tuples of uint8 planes Y, U, V of 4:2:0.
    """

    def frames(self) -> Iterator[Frame]: ...


Frames = HasFrames | Iterable[Frame]


class Metric(Protocol):
    """One figure. `convention` is the sentence to be printed beside it."""

    name: str
    convention: str
    kinds: tuple[str, ...]
    higher_is_better: bool

    def unavailable(self) -> str | None:
        """Why this metric cannot be had here (a package, binary or weights missing); None where it can."""

    def limit(self, width: int, height: int) -> str | None:
        """Why there is no figure for frames of this size; None where there is."""

    def measure(self, reference: Frames, decoded: Frames) -> dict[str, float | None]:
        """{name: value}; None where there is no finite value.

        Raises UsageError for frames that cannot be compared, MetricError where a backend fails.
        """


class FrameMetric(ABC):
    """A metric whose value for a clip is the mean over frames of each frame's value.

    Its rule: None where any frame has none (a frame equal to its source has no finite PSNR).
    """

    name: str
    convention: str
    kinds: tuple[str, ...]
    higher_is_better: bool = True

    def unavailable(self) -> str | None:
        return None

    def limit(self, width: int, height: int) -> str | None:
        return None

    @abstractmethod
    def of_frame(self, a: Frame, b: Frame) -> float:
        """The value for one frame `b` of source `a`, two frames that `pairs` gave; may be infinite."""

    def measure(self, reference: Frames, decoded: Frames) -> dict[str, float | None]:
        values = []
        for a, b in pairs(reference, decoded, self.kinds):
            if self.limit(*size_of(a)):
                return {self.name: None}
            values.append(self.of_frame(a, b))
        return {self.name: mean(values)}


def mean(values: Sequence[float]) -> float | None:
    """The mean; None where it is not finite, as JSON has no infinity."""
    if not all(map(math.isfinite, values)):
        return None
    return math.fsum(values) / len(values)


def pairs(reference: Frames, decoded: Frames, kinds: Sequence[str] = (PICTURE, CLIP)) -> Iterator[tuple[Any, Any]]:
    """Each frame of the source with the decoded one, of one size and kind throughout.

    Raises UsageError for frames of other kinds than `kinds`, mixed sizes, unequal numbers of frames, or none.
    """
    left, right = _iterate(reference), _iterate(decoded)
    count, first = 0, None
    while True:
        a, b = next(left, None), next(right, None)
        if a is None and b is None:
            break
        if a is None or b is None:
            raise UsageError(f"the {'source' if a is None else 'decoded'} has only {count} frames, the other has more")
        shape = check(a, b)
        if first is None:
            first = shape
            if kind_of(a) not in kinds:
                raise UsageError(f"this metric measures a {kinds[0]} ({CHANNELS[kinds[0]]}), not a {kind_of(a)}")
        elif shape != first:
            raise UsageError(f"frame {count + 1} is of another size than the first: {shape} and {first}")
        count += 1
        yield a, b
    if first is None:
        raise UsageError("there are no frames to compare")


def _iterate(source: Frames) -> Iterator[Frame]:
    return source.frames() if hasattr(source, "frames") else iter(source)


def kind_of(frame: Frame) -> str:
    return CLIP if isinstance(frame, tuple) else PICTURE


def size_of(frame: Frame) -> tuple[int, int]:
    """(width, height) of a frame."""
    height, width = (frame[0] if isinstance(frame, tuple) else frame).shape[:2]
    return width, height


def check(a: Frame, b: Frame) -> tuple[tuple[int, ...], ...]:
    """The shape that two frames share. Raises UsageError unless both are (H, W, 3) RGB, or 4:2:0 planes, in uint8."""
    one, two = _shape(a), _shape(b)
    if one != two:
        raise UsageError(f"frames of different sizes cannot be compared: {one} and {two}")
    return one


def _shape(frame: Frame) -> tuple[tuple[int, ...], ...]:
    parts = frame if isinstance(frame, tuple) else (frame,)
    shapes = tuple(part.shape for part in parts)
    fits = all(part.dtype == np.uint8 and part.size for part in parts)
    if isinstance(frame, tuple):
        half = tuple((n + 1) // 2 for n in shapes[0])
        fits = fits and len(half) == 2 and shapes[1:] == (half, half)
    else:
        fits = fits and len(shapes[0]) == 3 and shapes[0][2] == 3
    if not fits:
        kinds = " ".join(sorted({str(part.dtype) for part in parts}))
        raise UsageError(f"expected (H, W, 3) uint8 pixels, or uint8 planes Y, U, V of 4:2:0, got {shapes} {kinds}")
    return shapes
