"""A picture that is hard enough, and decoding, for the tests of the lossless codecs."""

from __future__ import annotations

import numpy as np

from calotype.codecs.registry import open_stream


def picture(height: int, width: int, planes: int = 3, dtype: type = np.uint8, seed: int = 0) -> np.ndarray:
    """Smooth, with noise; (H, W) where planes is 1."""
    rng, scale = np.random.default_rng(seed), np.iinfo(dtype).max // 255
    ramp = (np.add.outer(2 * np.arange(height), np.arange(width)) % 200)[:, :, None] * scale
    pixels = (ramp + rng.integers(0, 20 * scale, (height, width, planes))).astype(dtype)
    return pixels[:, :, 0] if planes == 1 else pixels


def decode(data: bytes, **options: object) -> np.ndarray:
    stream, codec = open_stream(data, **options)  # type: ignore[arg-type]
    return codec.decode(stream).pixels
