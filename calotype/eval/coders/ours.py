"""Our own codecs of pictures."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import numpy as np

from calotype.codecs import container
from calotype.codecs.classic import QUALITY, ClassicCodec
from calotype.codecs.image import EFFORT, Decoded, Encoded, ImageCodec
from calotype.codecs.registry import open_model
from calotype.codecs.video.whole import VideoCodec
from calotype.errors import UsageError
from calotype.eval.coders.base import CodedSource, Settings, check_kind
from calotype.eval.frames import PICTURE, Frames, picture_frames
from calotype.eval.metrics import differing_pixels
from calotype.models.complexity import decoder_kmac


class Coded(Protocol):
    """What an encoder gives. estimated_bits: None where the codec makes no estimate; reconstruction: (H, W, 3) uint8 as
    the encoder believes a decoder gives it, None where not asked for or not known; seconds: by part, or empty."""

    @property
    def data(self) -> bytes: ...
    @property
    def estimated_bits(self) -> float | None: ...
    @property
    def reconstruction(self) -> np.ndarray | None: ...
    @property
    def seconds(self) -> Mapping[str, float]: ...


class Seen(Protocol):
    """What a decoder gives: pixels (H, W, 3) uint8; seconds: by part, or empty."""

    @property
    def pixels(self) -> np.ndarray: ...
    @property
    def seconds(self) -> Mapping[str, float]: ...


class PictureCoder(Protocol):
    """A codec of single RGB pictures with a quality dial, from pixels to a whole file and back."""

    @property
    def identity(self) -> dict[str, str | float]: ...

    def encode(self, pixels: np.ndarray, quality: float, reconstruct: bool) -> Coded:
        """pixels (H, W, 3) uint8 RGB -> a whole file."""
        ...

    def decode(self, data: bytes) -> Seen:
        """A whole file, nothing else -> pixels."""
        ...


class Named(Protocol):
    """What a model file says of itself."""

    name: str
    hash: bytes
    parameters: int


def of_model(bundle: Named) -> dict[str, str | float]:
    """What every identity of ours begins with: the model, the SHA-256 of its weights and tables, its values."""
    return {"codec": "calotype", "model": bundle.name, "model_hash": bundle.hash.hex(), "parameters": bundle.parameters}


def named_model(family: str, options: list[str], settings: Settings) -> str | Path | None:
    """The model of a spec's options or of the settings, None where neither names one. Raises UsageError where both do."""
    named = ":".join(options)  # a path may hold colons
    if named and settings.model is not None and str(settings.model) != named:
        raise UsageError(f"{family}:{named}: the model is given twice, the other one is {settings.model}; drop one")
    return named or settings.model


class CalotypeCoder:
    """Our codecs from pixels to the bytes of a whole .calo file, without a colour profile, and back.

    An imported classic model has one rate: one point, no effort, no kMAC/pixel.
    """

    synopsis = "ours[:MODEL][:e0..e9]"
    kinds = (PICTURE,)
    points: tuple[float, ...] = (0, 14, 28, 42, 56, 70, 85, 100)

    def __init__(self, codec: ImageCodec | ClassicCodec):
        self._codec = codec
        self.label = f"ours:{codec.bundle.name}"
        if isinstance(codec, ClassicCodec):
            self.points = (QUALITY,)
        elif codec.effort != EFFORT:
            self.label += f":e{codec.effort}"

    @staticmethod
    def from_spec(options: list[str], settings: Settings) -> CalotypeCoder:
        """ours, or ours:MODEL (a shipped model's name, or a model file of any kind), and the encoder's effort. Raises
        UsageError, ModelError."""
        effort = int(options.pop()[1:]) if options and re.fullmatch(r"e\d", options[-1]) else EFFORT
        codec = open_model(named_model("ours", options, settings), settings.device, effort=effort)
        if isinstance(codec, VideoCodec):
            raise UsageError(f"model '{codec.bundle.name}' codes clips: give ours-video:{codec.bundle.name}")
        return CalotypeCoder(codec)

    @property
    def identity(self) -> dict[str, str | float]:
        """Codec, model, the SHA-256 of its weights and tables, its parameters; effort and its decoder's kMAC/pixel, or the
        architecture of a classic model."""
        codec = self._codec
        found = of_model(codec.bundle)
        if isinstance(codec, ClassicCodec):
            return found | {"architecture": codec.bundle.config.name}
        kmac = round(decoder_kmac(codec.bundle.config.to_dict()), 3)
        return found | {"effort": codec.effort, "kmac_per_pixel": kmac}

    def encode(self, pixels: np.ndarray, quality: float, reconstruct: bool) -> Encoded:
        """As the codec's own. Raises UsageError for a quality other than the default where there is one rate."""
        return self._codec.encode(pixels, quality, reconstruct=reconstruct)

    def decode(self, data: bytes) -> Decoded:
        """Checks the container as any reader does, then decodes. Raises CorruptStreamError, LimitError."""
        return self._codec.decode(container.read(data))

    def code(self, source: Frames, point: float) -> CodedSource:
        """As `Coder.code`."""
        check_kind(self, source)
        return code_picture(self, source, point)


def code_picture(coder: PictureCoder, source: Frames, point: float) -> CodedSource:
    """Encode (timed), decode (timed), then encode again with its reconstruction.

    Raises CalotypeError where the codec does, or where the picture changes its size.
    """
    first = code_once(lambda pixels: coder.encode(pixels, point, False), coder.decode, source)
    again = coder.encode(next(iter(source.frames())), point, True)
    compared = None
    if again.reconstruction is not None:
        compared = differing_pixels(again.reconstruction, next(iter(first.decoded.frames())))
    return replace(first, differing_pixels=compared, repeatable=again.data == first.stream)


def code_once(encode: Callable[[np.ndarray], Coded], decode: Callable[[bytes], Seen], source: Frames) -> CodedSource:
    """Encode and decode once, timed; compared where the encoder gives its reconstruction. Raises as `code_picture`."""
    pixels = next(iter(source.frames()))
    start = time.perf_counter()
    coded = encode(pixels)
    encoded = time.perf_counter()
    seen = decode(coded.data)
    decoded = time.perf_counter()
    believed = coded.reconstruction
    return CodedSource(
        data_bytes=len(coded.data),
        estimated_bits=coded.estimated_bits,
        decoded=picture_frames(source.name, seen.pixels),
        encode_seconds={"total": encoded - start, **coded.seconds},
        decode_seconds={"total": decoded - encoded, **seen.seconds},
        differing_pixels=None if believed is None else differing_pixels(believed, seen.pixels),
        stream=coded.data,
    )
