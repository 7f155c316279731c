"""Pictures and fields that the tests of motion share."""

from __future__ import annotations

import numpy as np

from calotype.models.motion.field import BOTH, INTRA, LIMIT, SECOND, Field, field_shape


def picture(rng, height=64, width=96):
    """Planes of noise: every clamp and rounding is met."""
    shapes = (height, width), (height // 2, width // 2), (height // 2, width // 2)
    return tuple(rng.integers(0, 256, shape, dtype=np.uint8) for shape in shapes)


def textured(rng, height, width):
    """A plane that is smooth at the scale of pixels and rough at that of blocks."""
    noise = rng.standard_normal((height, width))
    spectrum = np.fft.rfft2(noise) / (0.02 + np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width))) ** 1.5
    spectrum[np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)) > 0.25] = 0
    plane = np.fft.irfft2(spectrum, (height, width))
    return np.clip(128 + 45 * plane / plane.std(), 0, 255).round().astype(np.uint8)


def random_field(rng, height=64, width=96, block=16, references=2, largest=LIMIT, intra=0.1):
    """A field of any modes and vectors; some neighbours are alike, as in life."""
    h, w = field_shape(height, width, block)
    mode = rng.integers(0, BOTH + 1, (h, w)).astype(np.uint8) if references == 2 else np.zeros((h, w), np.uint8)
    vectors = rng.integers(-largest, largest + 1, (2, h, w, 2)).astype(np.int16)
    for x in range(1, w):
        same = rng.random(h) < 0.5
        mode[same, x], vectors[:, same, x] = mode[same, x - 1], vectors[:, same, x - 1]
    mode[rng.random((h, w)) < intra] = INTRA
    vectors[0, mode == SECOND] = vectors[1, mode == 0] = vectors[:, mode == INTRA] = 0
    return Field(block, mode, vectors)
