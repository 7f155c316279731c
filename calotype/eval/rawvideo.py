"""Planar .yuv files, which say nothing of themselves: size and rate come from the names that the data sets give them.

Beauty_1920x1080_120fps_420_8bit_YUV.yuv, videoSRC01_1920x1080_30.yuv, FourPeople_1280x720_60.yuv
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np

from calotype.codecs.y4m import Planes, frame_bytes, split_planes
from calotype.errors import CorruptStreamError, UsageError

_SIZE = re.compile(r"(?:^|[_.-])([1-9]\d{0,4})[xX]([1-9]\d{0,4})(?=[_.-]|$)")
_FPS = re.compile(r"[_.-](\d+(?:[.p]\d+)?)(?:fps|Hz)", re.IGNORECASE)
_BARE_RATE = re.compile(r"[_.-](\d+(?:\.\d+)?)(?=[_-]|$)")
_DEPTH = re.compile(r"[_.-](\d+)[-_]?bits?(?![a-z])", re.IGNORECASE)
_CHROMA = re.compile(r"[_.-](?:yuv)?(4(?:00|11|22|44))p?(?=[_.-]|$)", re.IGNORECASE)
_NTSC = {"23.976": Fraction(24000, 1001), "29.97": Fraction(30000, 1001), "59.94": Fraction(60000, 1001)}


class RawName(NamedTuple):
    """Width and height in pixels, rate in frames a second."""

    width: int
    height: int
    rate: Fraction


def parse_name(stem: str) -> RawName:
    """What a file name without its suffix says. Raises UsageError where size or rate is missing, or it is not 8-bit
    4:2:0.
    """
    size = _SIZE.search(stem)
    if not size:
        raise UsageError(f"the name {stem} gives no size; name the file as clip_352x288_30.yuv")
    rest = stem[size.end() :]
    rate = _FPS.search(stem) or _BARE_RATE.match(rest)
    if not rate or not float(rate[1].replace("p", ".")):
        raise UsageError(f"the name {stem} gives no frame rate after its size; name the file as clip_352x288_30.yuv")
    depth, chroma = _DEPTH.search(stem), _CHROMA.search(rest)
    if (depth and int(depth[1]) != 8) or chroma:
        raise UsageError(f"the name {stem} says it is not 8-bit 4:2:0; convert it (ffmpeg -pix_fmt yuv420p)")
    text = rate[1].replace("p", ".")
    return RawName(int(size[1]), int(size[2]), _NTSC.get(text) or Fraction(text))


def count_raw(path: Path, width: int, height: int) -> int:
    """Frames of an 8-bit 4:2:0 file. Raises CorruptStreamError where its size is no whole number of them."""
    size, one = path.stat().st_size, frame_bytes(width, height)
    if not size or size % one:
        raise CorruptStreamError(
            f"it has {size} bytes, which is no whole number of frames of {width} x {height} ({one} bytes each); "
            "its name gives the wrong size, or it is cut short"
        )
    return size // one


def read_raw(path: Path, width: int, height: int, count: int, bits: int = 8) -> Iterator[Planes]:
    """The first `count` frames of a planar 4:2:0 file, as 8-bit planes.

    bits: 8, or 9 to 16 for little-endian 16-bit samples, which are rounded to 8 bits. Raises CorruptStreamError where
    there are fewer.
    """
    samples = frame_bytes(width, height)
    with path.open("rb") as stream:
        for number in range(count):
            data = stream.read(samples * (1 if bits == 8 else 2))
            if len(data) < samples * (1 if bits == 8 else 2):
                raise CorruptStreamError(f"{path.name} is cut short within frame {number + 1}; get it again")
            yield split_planes(data if bits == 8 else _to_8_bits(data, bits), width, height)


def _to_8_bits(data: bytes, bits: int) -> bytes:
    samples = np.frombuffer(data, "<u2").astype(np.uint32) + (1 << (bits - 9))
    return np.minimum(samples >> (bits - 8), 255).astype(np.uint8).tobytes()
