"""Small clips, and small files of codec `inr-video`."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from calotype.codecs.header import Colour
from calotype.codecs.neural.encoder import Coded, Settings, encode_clip
from calotype.codecs.video.colour import to_planes
from calotype.codecs.video.source import TimedFrame, VideoSource

COLOUR = Colour("bt709", "limited", "420", 8)
NETS = ("hnerv.1", "nirvana.1")


def picture(height: int, width: int, number: int) -> np.ndarray:
    """(height, width, 3) uint8: waves that move."""
    y, x = np.mgrid[:height, :width]
    wave = 110 + 60 * np.sin((x + 2 * number) / 7) * np.cos(y / 6)
    return np.stack([wave, 230 - wave, wave / 2 + 60], 2).clip(0, 255).astype(np.uint8)


def source(count: int = 6, height: int = 18, width: int = 27, times: list[int] | None = None) -> VideoSource:
    """A clip at 25 frames a second; times: in 1/1000 second, where it is not even."""
    frames = [
        TimedFrame(to_planes(picture(height, width, number), COLOUR), times[number] if times else number)
        for number in range(count)
    ]
    ticks = Fraction(1, 1000) if times else Fraction(1, 25)
    return VideoSource(width, height, Fraction(25), ticks, iter(frames), COLOUR)


def coded(net: str, count: int = 6, times: list[int] | None = None, **settings: object) -> Coded:
    """As `encode_clip` makes it, in next to no time."""
    return encode_clip(source(count, times=times), Settings(net, **({"effort": 0} | settings)))  # type: ignore[arg-type]
