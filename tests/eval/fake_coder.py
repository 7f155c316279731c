"""A codec that needs no weights: samples divided by a step, packed by zlib."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from calotype.errors import CorruptStreamError
from calotype.eval.coders import CodedSource, code_picture
from calotype.eval.frames import Frames


@dataclass(frozen=True)
class FakeCoded:
    data: bytes
    estimated_bits: float | None
    reconstruction: np.ndarray | None
    seconds: dict[str, float] = field(default_factory=lambda: {"network": 0.25, "entropy": 0.5})


@dataclass(frozen=True)
class FakeSeen:
    pixels: np.ndarray
    seconds: dict[str, float] = field(default_factory=lambda: {"network": 0.125, "entropy": 0.0625})


class FakeCoder:
    """Steps of 101 - quality: 1, which is lossless, at 100. Counts its encodings; refuses pictures as high as `refuse`;
    with `wrong` its reconstruction differs from what it decodes to in one pixel; `framing` bytes are not estimated."""

    def __init__(self, model_hash: str = "00" * 32, refuse: int = 0, wrong: bool = False, framing: int = 0):
        self.label, self.kinds, self.points = "fake", ("picture",), (20.0, 60.0, 90.0)
        self.identity = {"codec": "fake", "model": "fake.1", "model_hash": model_hash}
        self.encodings = 0
        self.refuse, self.wrong, self.framing = refuse, wrong, framing

    def encode(self, pixels: np.ndarray, quality: float, reconstruct: bool) -> FakeCoded:
        self.encodings += 1
        if pixels.shape[0] == self.refuse:
            raise CorruptStreamError("refused, as asked")
        step = 101 - int(quality)
        data = zlib.compress(bytes([step, *pixels.shape[:2]]) + (pixels // step).tobytes())
        reconstruction = self.decode(data + b"." * self.framing).pixels if reconstruct else None
        if reconstruction is not None and self.wrong:
            reconstruction = reconstruction.copy()
            reconstruction[0, 0] ^= 1
        return FakeCoded(data + b"." * self.framing, 8.0 * len(data), reconstruction)

    def code(self, source: Frames, point: float) -> CodedSource:
        return code_picture(self, source, point)

    def decode(self, data: bytes) -> FakeSeen:
        plain = zlib.decompressobj().decompress(data)
        step, height, width = plain[:3]
        samples = np.frombuffer(plain[3:], np.uint8).reshape(height, width, 3).astype(np.int32)
        return FakeSeen(np.clip(samples * step + step // 2, 0, 255).astype(np.uint8))


def make_picture(path: Path, width: int, height: int, seed: int) -> np.ndarray:
    """Write a smooth picture with some noise; give its pixels."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    ramp = np.stack([3 * x + y, 2 * y + x, 255 - 2 * x], axis=2) + rng.integers(0, 9, (height, width, 3))
    pixels = np.clip(ramp, 0, 255).astype(np.uint8)
    Image.fromarray(pixels).save(path)
    return pixels
