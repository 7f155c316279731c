"""Clips small enough to encode in a test: a texture that moves."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image

from calotype.codecs import y4m

RATE = Fraction(25)


def make_frames(width: int = 64, height: int = 48, count: int = 5) -> list[y4m.Planes]:
    """Frames of a texture moving by two pixels each."""
    y, x = np.mgrid[:height, :width]
    rng = np.random.default_rng(7)
    found = []
    for number in range(count):
        texture = 128 + 60 * np.sin((x + 2 * number) / 5) + 40 * np.cos((y - number) / 4) + rng.normal(0, 1, y.shape)
        luma = np.clip(texture, 16, 235).astype(np.uint8)
        found.append((luma, 255 - luma[::2, ::2], luma[::2, ::2] // 2 + 64))
    return found


def write_y4m(path: Path, width: int = 64, height: int = 48, count: int = 5) -> list[y4m.Planes]:
    """Write such a clip; give its frames."""
    frames = make_frames(width, height, count)
    with path.open("wb") as stream:
        y4m.write_header(stream, width, height, RATE)
        for frame in frames:
            y4m.write_frame(stream, frame)
    return frames


def raw_bytes(frames: list[y4m.Planes]) -> bytes:
    """As a .yuv file holds them."""
    return b"".join(plane.tobytes() for frame in frames for plane in frame)


def write_pictures(folder: Path, sizes: list[tuple[int, int]]) -> list[np.ndarray]:
    """frame1.png, frame2.png, ...; the number of each is in its pixels."""
    folder.mkdir()
    found = []
    for number, (width, height) in enumerate(sizes, 1):
        pixels = np.full((height, width, 3), (number, 2 * number, 255 - number), np.uint8)
        Image.fromarray(pixels).save(folder / f"frame{number}.png")
        found.append(pixels)
    return found
