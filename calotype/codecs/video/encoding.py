"""A clip from wherever it is to a file: what `calotype.encode_video` does."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ...atomic import replacing
from ...errors import UsageError
from ...models.zoo import DEFAULT_VIDEO_MODEL, FOR_CLIPS, load_any_model
from .arrays import from_arrays
from .clip import Report, Settings, Summary, encode_clip
from .framecodecs import ClipBundle, keeps_chroma
from .media_in import open_video
from .source import VideoSource


def clip_model(model: str | Path | None, device: str = "cpu") -> ClipBundle:
    """A model of clips by its name or file, the default one for None. Raises ModelError, UsageError for one of pictures."""
    kind, bundle = load_any_model(FOR_CLIPS.get(str(model), model) or DEFAULT_VIDEO_MODEL, device)
    if not isinstance(bundle, ClipBundle):
        raise UsageError(f"model '{model}' is a model of kind '{kind}', and this is a clip: give a video model")
    return bundle


def encode_file(
    bundle: ClipBundle,
    source: str | Path | BinaryIO | Iterable[np.ndarray],
    target: str | Path | BinaryIO,
    settings: Settings,
    rate: float | Fraction | None = None,
    start: float = 0.0,
    frames: int | None = None,
    report: Report = lambda record, total: None,
) -> Summary:
    """Code a clip to a file, which appears when it is whole, or to a stream. source, rate, start and frames: as of
    `calotype.encode_video`. Raises what that raises."""
    _check(settings)
    exact = None if rate is None else rate if isinstance(rate, Fraction) else _fraction(rate)
    stored = isinstance(source, str | Path) or hasattr(source, "read")
    if not stored and exact is None:
        raise UsageError("frames do not say how fast they are shown: give rate, in frames a second")
    if not stored and (start or frames is not None):
        raise UsageError("start and frames are of files and streams: give the frames that are wanted alone")

    def opened() -> VideoSource:
        if not stored:
            return from_arrays(source, exact, keeps_chroma(bundle))  # type: ignore[arg-type]
        where: Any = Path(source) if isinstance(source, str) else source
        return open_video(where, None, start, frames, settings.audio, exact, keeps_chroma(bundle))

    once = not isinstance(source, str | Path) and (stored or isinstance(source, Iterator))
    again = None if once else opened
    with opened() as clip:
        if not isinstance(target, str | Path):
            return encode_clip(bundle, again, clip, target, settings, report)
        with replacing(target) as temporary, open(temporary, "wb") as sink:
            return encode_clip(bundle, again, clip, sink, settings, report)


def _check(settings: Settings) -> None:
    kind, value = settings.kind, settings.value
    if kind == "quality" and not 0 <= value <= 100:
        raise UsageError(f"a quality of {value:g}: give 0 to 100")
    if not (math.isfinite(value) and (value > 0 or kind == "quality")):
        raise UsageError(f"a {kind} of {value:g}: give a number above 0")


def _fraction(rate: float) -> Fraction:
    """29.97002997 is 30000/1001."""
    if not (math.isfinite(rate) and rate > 0):
        raise UsageError(f"a rate of {rate} frames a second: give a number above 0")
    return Fraction(rate).limit_denominator(1001)
