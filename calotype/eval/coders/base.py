"""What `eval` measures: anything that turns a source into bytes and back. A further codec is one small class."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Protocol

import numpy as np

from calotype.errors import UsageError
from calotype.eval.frames import PICTURE, Frames, picture_frames


@dataclass(frozen=True)
class Settings:
    """What `make` was given beside the spec. model: a shipped model's name or a file (ours); device: of our transforms;
    threads: of the encoder and decoder; intra_period: frames from one intra frame to the next, None for one intra frame.
    """

    model: str | Path | None = None
    device: str = "cpu"
    threads: int = 1
    intra_period: int | None = None


@dataclass(frozen=True)
class CodedSource:
    """A source coded and decoded.

    data_bytes: of what a decoder needs; estimated_bits: None where the codec makes no estimate; decoded: what came back,
    kept as long as this object lives; encode_seconds, decode_seconds: "total", and parts where the codec says;
    differing_pixels: encoder's reconstruction against the decoder's picture; repeatable: a second encoding gave the same
    bytes (None: not looked at); stream: the bytes; peak_memory: bytes, of the codec's own processes.
    """

    data_bytes: int
    estimated_bits: float | None
    decoded: Frames
    encode_seconds: Mapping[str, float]
    decode_seconds: Mapping[str, float]
    differing_pixels: int | None = None
    repeatable: bool | None = None
    stream: bytes | None = field(default=None, repr=False)
    peak_memory: int | None = None


class Coder(Protocol):
    """A codec in one configuration, with a dial.

    label: unique within a run ("x265:medium:random-access"); kinds: of sources it codes ("picture", "clip"); identity:
    what makes two runs comparable ("codec", "version", "configuration", ...); points: eight points of the dial, with
    rates that rise or fall.
    """

    label: str
    kinds: tuple[str, ...]
    points: tuple[float, ...]

    @property
    def identity(self) -> dict[str, str | float]: ...

    def code(self, source: Frames, point: float) -> CodedSource:
        """Encode, then decode. Raises CalotypeError where either fails."""
        ...


def check_kind(coder: Coder, source: Frames) -> None:
    """Raises UsageError where the coder does not code such sources."""
    if source.kind not in coder.kinds:
        raise UsageError(f"{coder.label} codes {' and '.join(coder.kinds)}s only, and {source.name} is a {source.kind}")


class PictureAnchor:
    """Base of the picture codecs that work from pixels in memory to a file in memory: label, identity, encode, decode.

    synopsis: the specs it takes, for a message. options: what followed the codec's name in the spec.
    """

    kinds = (PICTURE,)
    synopsis: ClassVar[str]
    points: tuple[float, ...]
    label: str

    def __init__(self, options: list[str], settings: Settings):
        raise NotImplementedError

    @property
    def identity(self) -> dict[str, str | float]:
        raise NotImplementedError

    def encode(self, pixels: np.ndarray, point: float) -> bytes:
        """pixels (H, W, 3) uint8 RGB -> a file."""
        raise NotImplementedError

    def decode(self, data: bytes) -> np.ndarray:
        """A file -> pixels (H, W, 3) uint8 RGB."""
        raise NotImplementedError

    def code(self, source: Frames, point: float) -> CodedSource:
        """As `Coder.code`."""
        check_kind(self, source)
        pixels = next(iter(source.frames()))
        start = time.perf_counter()
        data = self.encode(pixels, point)
        encoded = time.perf_counter()
        seen = self.decode(data)
        decoded = time.perf_counter()
        return CodedSource(
            data_bytes=len(data),
            estimated_bits=None,
            decoded=picture_frames(source.name, seen),
            encode_seconds={"total": encoded - start},
            decode_seconds={"total": decoded - encoded},
            stream=data,
        )


def one_of(spec: str, kind: str, value: str, known: tuple[str, ...]) -> str:
    """`value` where it is known. Raises UsageError listing what there is."""
    if value not in known:
        raise UsageError(f"{spec}: no {kind} {value!r}; there are {', '.join(known)}")
    return value
