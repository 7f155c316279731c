"""What `eval` measures: anything that turns a picture into bytes and back. A further codec is one small class here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np

from calotype.codecs import container
from calotype.codecs.image import Decoded, Encoded, ImageCodec
from calotype.models.bundle import ImageBundle


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
    """A codec of single RGB pictures with a quality dial."""

    @property
    def identity(self) -> dict[str, str]:
        """What makes two runs comparable: at least "codec", and "model" and "model_hash" where there is a model."""
        ...

    def encode(self, pixels: np.ndarray, quality: float, reconstruct: bool) -> Coded:
        """pixels (H, W, 3) uint8 RGB -> a whole file."""
        ...

    def decode(self, data: bytes) -> Seen:
        """A whole file, nothing else -> pixels."""
        ...


class CalotypeCoder:
    """Our image codec from pixels to the bytes of a whole .calo file, without a colour profile, and back."""

    def __init__(self, bundle: ImageBundle):
        self._codec = ImageCodec(bundle)

    @property
    def identity(self) -> dict[str, str]:
        """Codec, model and the SHA-256 of its weights and tables."""
        bundle = self._codec.bundle
        return {"codec": "calotype", "model": bundle.name, "model_hash": bundle.hash.hex()}

    def encode(self, pixels: np.ndarray, quality: float, reconstruct: bool) -> Encoded:
        """As `ImageCodec.encode`."""
        return self._codec.encode(pixels, quality, reconstruct=reconstruct)

    def decode(self, data: bytes) -> Decoded:
        """Checks the container as any reader does, then decodes. Raises CorruptStreamError, LimitError."""
        return self._codec.decode(container.read(data))
