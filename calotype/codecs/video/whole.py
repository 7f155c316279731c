"""Video files that are in memory, for commands that read every kind of .calo file whole."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ...errors import UsageError
from .. import container
from ..container import Container
from .decoder import Video, VideoFrame
from .framecodecs import ClipBundle
from .packs import frames_of
from .timeline import Timeline


@dataclass(frozen=True)
class VideoCodec:
    """The registry's way to a video model."""

    bundle: ClipBundle
    effort: int | None = None  # of pictures: `encode` says that there are none
    dial = True

    def decode(self, stream: Container, progress: object = None) -> None:
        """Raises UsageError: a clip is no picture."""
        raise UsageError("this file is a clip: calotype.open iterates over its frames, `calotype decode` makes a clip of it")

    def encode(self, *arguments: object, **settings: object) -> None:
        """Raises UsageError: a picture is no clip."""
        raise UsageError(f"model '{self.bundle.name}' codes clips, and this is a picture: give an image model")

    def open(self, stream: Container) -> Video:
        """The frames of a stream that was read."""
        return Video(io.BytesIO(container.write(stream.header, stream.chunks)), bundle=self.bundle)

    def digests(self, stream: Container, decoded: Callable[[], object] = lambda: None) -> dict[str, str]:
        """SHA-256 in hexadecimal of the symbol hashes of frames and packs, which decoding checks ("symbols"), and of all
        samples in the order shown ("pixels"). decoded: called after each frame. Raises what decoding raises:
        CorruptStreamError, DesyncError."""
        symbols = hashlib.sha256()
        for *_, found in frames_of(stream.chunks, Timeline(stream.header)):
            symbols.update(found)
        return {"symbols": symbols.hexdigest(), "pixels": samples_digest(self.open(stream), decoded)}


def samples_digest(frames: Iterable[VideoFrame], decoded: Callable[[], object]) -> str:
    """SHA-256 in hexadecimal of all samples of frames. decoded: called after each."""
    samples = hashlib.sha256()
    for frame in frames:
        for plane in frame.planes:
            samples.update(f"{plane.dtype}{plane.shape}".encode() + plane.tobytes())
        decoded()
    return samples.hexdigest()
