"""YUV4MPEG2, the format of pipes between video programs: 8-bit 4:2:0 clips, frame by frame; 4:4:4 is only written.

    YUV4MPEG2 W<width> H<height> F<rate>[ I.. A.. C420.. X..]\\n   then per frame:   FRAME[ ..]\\n Y U V

Planes are Y (H, W) and U, V (ceil(H / 2), ceil(W / 2)), uint8.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import BinaryIO

import numpy as np

from ..errors import CorruptStreamError, UsageError
from .limits import Limits

MAGIC = b"YUV4MPEG2"
LONGEST_LINE = 4096  # of a header: real ones are under 100 bytes
CHROMA = ("420", "420jpeg", "420mpeg2", "420paldv")

Planes = tuple[np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Y4mHeader:
    """Width and height in pixels, rate in frames a second. full: full range, else limited or not said."""

    width: int
    height: int
    rate: Fraction
    full: bool = False

    @property
    def frame_bytes(self) -> int:
        """Bytes of one frame's planes."""
        return frame_bytes(self.width, self.height)


def plane_shapes(
    width: int, height: int, chroma: str = "420"
) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
    """Shapes of Y, U and V, of 4:2:0 (odd sizes round up) or 4:4:4."""
    of = (height, width) if chroma == "444" else ((height + 1) // 2, (width + 1) // 2)
    return (height, width), of, of


def frame_bytes(width: int, height: int, chroma: str = "420") -> int:
    """Bytes of one 8-bit frame."""
    return sum(rows * columns for rows, columns in plane_shapes(width, height, chroma))


def read_header(stream: BinaryIO, limits: Limits | None = None) -> Y4mHeader:
    """The first line of a clip. Raises CorruptStreamError (no y4m, damaged), UsageError (not 8-bit 4:2:0, interlaced),
    LimitError.
    """
    line = stream.readline(LONGEST_LINE)
    words = line.split()
    if not words or words[0] != MAGIC or not line.endswith(b"\n"):
        raise CorruptStreamError("this is no y4m clip (it does not start with a line YUV4MPEG2 ...); get it again")
    fields = {word[:1]: word[1:].decode("ascii", "replace") for word in words[1:] if word[:1] != b"X"}
    try:
        width, height = int(fields[b"W"]), int(fields[b"H"])
        over, under = fields[b"F"].split(":")
        rate = Fraction(int(over), int(under))
    except (KeyError, ValueError, ZeroDivisionError):
        raise CorruptStreamError("the y4m header names no width, height or rate; make the clip again") from None
    if width < 1 or height < 1 or rate <= 0:
        raise CorruptStreamError("the y4m header's width, height or rate is not above 0; make the clip again")
    chroma = fields.get(b"C", "420")
    if chroma not in CHROMA:
        raise UsageError(f"the clip's samples are C{chroma}; convert it to 8-bit 4:2:0 (ffmpeg -pix_fmt yuv420p)")
    if fields.get(b"I", "p") not in ("p", "?"):
        raise UsageError("the clip is interlaced; deinterlace it first")
    (limits or Limits()).check_picture(width, height, frame_bytes(width, height))
    return Y4mHeader(width, height, rate, b"XCOLORRANGE=FULL" in words)


def read_frame(stream: BinaryIO, header: Y4mHeader) -> Planes | None:
    """The next frame, None at the end. Raises CorruptStreamError where the clip is damaged or cut short."""
    if not _frame_line(stream):
        return None
    data = stream.read(header.frame_bytes)
    if len(data) < header.frame_bytes:
        raise CorruptStreamError("the y4m clip is cut short within a frame; get it again")
    return split_planes(data, header.width, header.height)


def count_frames(stream: BinaryIO, header: Y4mHeader, at_most: int | None = None) -> int:
    """Frames from here on, `at_most` of them, without reading their samples; needs a file that can seek.

    Raises CorruptStreamError.
    """
    here = stream.tell()
    end = stream.seek(0, 2)
    stream.seek(here)
    count = 0
    while count != at_most and _frame_line(stream):
        if stream.seek(header.frame_bytes, 1) > end:
            raise CorruptStreamError(f"the y4m clip is cut short within frame {count + 1}; get it again")
        count += 1
    return count


def split_planes(data: bytes, width: int, height: int) -> Planes:
    """Y, U, V of the bytes of one 8-bit frame, read-only views."""
    planes, start = [], 0
    for shape in plane_shapes(width, height):
        size = shape[0] * shape[1]
        planes.append(np.frombuffer(data, np.uint8, size, start).reshape(shape))
        start += size
    return planes[0], planes[1], planes[2]


def write_header(stream: BinaryIO, width: int, height: int, rate: Fraction, range: str = "", chroma: str = "420") -> None:
    """Begin a clip of progressive 8-bit frames of 4:2:0 or 4:4:4. range: "full", "limited", or "" to say nothing of it."""
    samples = b"444" if chroma == "444" else b"420jpeg"
    stream.write(b"%s W%d H%d F%d:%d Ip A1:1 C%s" % (MAGIC, width, height, rate.numerator, rate.denominator, samples))
    stream.write(f" XCOLORRANGE={range.upper()}\n".encode() if range else b"\n")


def write_frame(stream: BinaryIO, planes: Sequence[np.ndarray]) -> None:
    """Y, U, V, uint8, of the shapes that the header implies."""
    stream.write(b"FRAME\n")
    for plane in planes:
        stream.write(np.ascontiguousarray(plane).data)


def _frame_line(stream: BinaryIO) -> bool:
    line = stream.readline(LONGEST_LINE)
    if not line:
        return False
    if not line.startswith(b"FRAME") or not line.endswith(b"\n"):
        raise CorruptStreamError("the y4m clip is damaged (no FRAME where one should start); get it again")
    return True
