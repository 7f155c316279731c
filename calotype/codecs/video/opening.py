"""Video files of every codec, opened by what their header says."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from ..limits import Limits
from ..neural.grouphead import CODEC as NEURAL
from .chunks import ChunkSource
from .decoder import Video


def open_clip(
    source: Path | BinaryIO,
    limits: Limits | None = None,
    allow_partial: bool = False,
    model: str | Path | None = None,
    device: str = "cpu",
) -> Video:
    """The clip in a file: its frames, `seek`, `rgb`. Arguments and errors are those of `Video`; clips that carry their own
    networks are a `NeuralVideo`, which has the same methods."""
    if isinstance(source, Path):
        with source.open("rb") as stream:
            codec = ChunkSource(stream, limits or Limits()).header.codec
    else:
        source = ChunkSource(source, limits or Limits())  # type: ignore[assignment]
        codec = source.header.codec  # type: ignore[attr-defined]
    if codec != NEURAL:
        return Video(source, limits, allow_partial, model, device)
    from ..neural.codec import NeuralVideo

    return NeuralVideo(source, limits, allow_partial)  # type: ignore[return-value]
