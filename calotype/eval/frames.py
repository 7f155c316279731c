"""A picture or a clip, as coders and metrics get it: frames that can be read again and again.

Nothing is held in memory but pictures that were decoded: each pass over `Frames.frames` reads the file again, so that a
source can be sent to another process and a clip can be of any length.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np

from calotype.codecs import y4m
from calotype.errors import CorruptStreamError

PICTURE, CLIP = "picture", "clip"
RGB24, YUV420P = "rgb24", "yuv420p"

Frame = np.ndarray | tuple[np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True, eq=False)
class Frames:
    """A picture or a clip, as a coder and a metric get it.

    kind: "picture" or "clip"; rate: frames a second, 1 for pictures; format: "rgb24" or "yuv420p" (8 bits). opener gives
    a new pass over the frames; notes: what was changed on the way, one sentence each.
    """

    name: str
    kind: str
    width: int
    height: int
    count: int
    rate: Fraction
    format: str
    opener: Callable[[], Iterator[Frame]] = field(repr=False)
    notes: tuple[str, ...] = ()

    def frames(self) -> Iterator[Frame]:
        """RGB (H, W, 3), or Y (H, W), U, V (ceil(H / 2), ceil(W / 2)); uint8. Can be called again.

        Raises CalotypeError where the file is no longer what it was, or a frame has another size.
        """
        shapes = y4m.plane_shapes(self.width, self.height)
        number = 0
        for number, frame in enumerate(self.opener(), 1):
            found = (frame.shape[:2],) if self.format == RGB24 else tuple(plane.shape for plane in frame)
            if found != shapes[: len(found)]:
                raise CorruptStreamError(
                    f"{self.name}: frame {number} is {found[0][1]} x {found[0][0]}, the first is {self.width} x "
                    f"{self.height}; the frames of a clip must have one size"
                )
            yield frame
        if number != self.count:
            raise CorruptStreamError(f"{self.name} gives {number} frames now, it had {self.count}; was it changed?")

    def sha256(self) -> str:
        """Of shape and samples: for a picture of repr((H, W, 3)), for a clip of repr((N, H, W, "yuv420p")), then of all
        samples in the order of the file format.
        """
        shape: tuple[Any, ...] = (self.count, self.height, self.width, self.format)
        if self.kind == PICTURE:
            shape = (self.height, self.width, 3)
        digest = hashlib.sha256(repr(shape).encode())
        for frame in self.frames():
            for plane in [frame] if isinstance(frame, np.ndarray) else frame:
                digest.update(np.ascontiguousarray(plane).data)
        return digest.hexdigest()


def picture_frames(name: str, pixels: np.ndarray, notes: Sequence[str] = ()) -> Frames:
    """A picture in memory, (H, W, 3) uint8 RGB."""
    height, width = pixels.shape[:2]
    return Frames(name, PICTURE, width, height, 1, Fraction(1), RGB24, partial(iter, (pixels,)), tuple(notes))
