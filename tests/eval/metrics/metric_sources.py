"""Small pictures and clips to compare."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np


@dataclass
class Source:
    """What a metric gets of a coder."""

    parts: list
    rate: Fraction = field(default=Fraction(25))

    def frames(self) -> Iterator:
        return iter(self.parts)


def noisy(samples: np.ndarray, sigma: float, seed: int) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0, sigma, samples.shape)
    return np.clip(np.rint(samples + noise), 0, 255).astype(np.uint8)


def smooth(height: int, width: int, seed: int = 0) -> np.ndarray:
    """(height, width) uint8 with some structure."""
    y, x = np.mgrid[:height, :width]
    wave = 128 + 60 * np.sin(x / (7 + seed)) + 50 * np.cos((x + y) / (11 + seed))
    return noisy(wave, 4, seed)


def make_picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.stack([smooth(height, width, seed + i) for i in range(3)], axis=2)


def make_clip(height: int, width: int, count: int, sigma: float = 0, rate: int = 25) -> Source:
    """`sigma` is that of noise over a clip that is always the same."""
    half = (height + 1) // 2, (width + 1) // 2
    parts = []
    for number in range(count):
        planes = (smooth(height, width, number), smooth(*half, number + 1), smooth(*half, number + 2))
        parts.append(tuple(noisy(plane, sigma, 9 * number + i) if sigma else plane for i, plane in enumerate(planes)))
    return Source(parts, Fraction(rate))
