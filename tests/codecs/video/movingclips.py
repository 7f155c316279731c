"""Small clips of moving texture, and the shipped video model, for the tests of the video codec."""

from __future__ import annotations

import io
from fractions import Fraction

import numpy as np
import pytest

from calotype.codecs.container import Colour
from calotype.codecs.video.encoder import VideoEncoder
from calotype.codecs.video.rate import Constant
from calotype.codecs.video.sink import Clip
from calotype.codecs.video.source import TimedFrame
from calotype.codecs.video.structure import load
from calotype.models import zoo
from calotype.models.videobundle import VideoBundle

COLOUR = Colour("bt709", "limited", "420", 8)
FULL_CHROMA = Colour("bt709", "full", "444", 8)


def shipped(execution: str | None = None) -> VideoBundle:
    """The default video model; the test is skipped where its weights are not there."""
    path = zoo.WEIGHTS / f"{zoo.DEFAULT_VIDEO_MODEL}.safetensors"
    if not path.is_file():
        pytest.skip(f"needs the shipped model {zoo.DEFAULT_VIDEO_MODEL}: calotype/models/weights has none")
    return VideoBundle.read(path, execution=execution) if execution else zoo.load_any_model(zoo.DEFAULT_VIDEO_MODEL)[1]


def moving(height: int, width: int, number: int, scene: int = 0, chroma: str = "420"):
    """Frame `number` of a texture that moves by 1.5 pixels a frame and gets lighter: uint8 planes; scene 1 is darker, of other
    shapes; chroma of 444 has fine detail."""
    y, x = np.mgrid[:height, :width]
    x = x + 1.5 * number
    if scene:
        luma = 45 + 30 * np.sin((x + 2 * y) / 2) + 15 * np.cos(y * y / 40) + number
    else:
        luma = 120 + 35 * np.sin(x / 4) * np.cos(y / 5) + 25 * ((x // 11 + y // 9) % 2) + number
    v, u = np.mgrid[: (height + 1) // 2, : (width + 1) // 2]
    planes = (luma, 110 + 20 * np.sin((u + 0.75 * number) / 6), 140 - v % 30)
    if chroma == "444":
        planes = (luma, 110 + 40 * (np.rint(x).astype(int) % 4 > 1), 140 - 30 * np.cos((x + 2 * y) / 2))
    return tuple(plane.clip(0, 255).astype(np.uint8) for plane in planes)


def frames_of(
    count: int, height: int = 48, width: int = 64, times=None, cut: int | None = None, chroma: str = "420"
) -> list[TimedFrame]:
    """Frames of `moving`; cut: the first of another scene."""
    scenes = [int(cut is not None and number >= cut) for number in range(count)]
    return [TimedFrame(moving(height, width, n, scenes[n], chroma), n if times is None else times[n]) for n in range(count)]


def clip_info(
    height: int = 48,
    width: int = 64,
    rate: Fraction = Fraction(25),
    ticks: Fraction | None = None,
    colour: Colour = COLOUR,
) -> Clip:
    """Of such a clip."""
    return Clip(width, height, rate, ticks or 1 / rate, colour)


def encoded(bundle, frames, structure="low-delay", quality=30.0, clip=None, pictures=None, **settings) -> bytes:
    """A clip at one quality, as a file. pictures: as of `VideoEncoder.encode`."""
    height, width = frames[0].planes[0].shape
    sink = io.BytesIO()
    encoder = VideoEncoder(bundle, clip or clip_info(height, width), load(structure), **settings)
    list(encoder.encode(iter(frames), Constant(quality), sink, pictures=pictures))
    return sink.getvalue()


def same(first, second) -> bool:
    """Whether planes are equal."""
    return all(map(np.array_equal, first, second))
