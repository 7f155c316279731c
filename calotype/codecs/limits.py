"""Declared bounds on what a stream may ask for, compared with its claims before anything is allocated for them."""

from __future__ import annotations

from dataclasses import dataclass

from calotype.errors import LimitError


@dataclass(frozen=True)
class Limits:
    """What a reader is willing to decode. Raise a limit only for files you trust: `Limits(max_width=40000)`.

    max_width, max_height: pixels along each side. max_pixels: width x height of one picture. max_bytes: bytes of one
    decoded picture, and of one chunk's payload. max_chunks: chunks in one file that is read whole (each costs a reader some
    300 bytes), segments in a video that is read as a stream. max_frames: pictures of a video.
    At 8-bit RGB the default max_bytes is met at 178 megapixels, before the default max_pixels is.
    """

    max_width: int = 16384
    max_height: int = 16384
    max_pixels: int = 16384 * 16384
    max_bytes: int = 512 * 2**20
    max_chunks: int = 2**20
    max_frames: int = 2**24

    def check_picture(self, width: int, height: int, picture_bytes: int) -> None:
        """Raise LimitError when a picture of width x height pixels and `picture_bytes` decoded bytes is not allowed."""
        what = f"a picture of {width} x {height} pixels"
        self._check("max_width", width, f"{what} is {width} pixels wide")
        self._check("max_height", height, f"{what} is {height} pixels high")
        self._check("max_pixels", width * height, f"{what} has {width * height} pixels")
        self._check("max_bytes", picture_bytes, f"{what} decodes to {picture_bytes} bytes")

    def check_chunk(self, count: int, length: int) -> None:
        """Raise LimitError when chunk number `count` of a file (from 1), of `length` payload bytes, is not allowed."""
        self._check("max_chunks", count, f"this file has {count} chunks or more")
        self.check_payload(count, length)

    def check_payload(self, number: int, length: int) -> None:
        """Raise LimitError when `length` payload bytes of chunk `number` (from 1) are not allowed."""
        self._check("max_bytes", length, f"chunk {number} of this file has {length} bytes")

    def check_video(self, frames: int, segments: int = 0) -> None:
        """Raise LimitError when a video of so many frames, or segments, is not allowed."""
        self._check("max_frames", frames, f"this video has {frames} frames or more")
        self._check("max_chunks", segments, f"this video has {segments} segments or more")

    def _check(self, name: str, value: int, claim: str) -> None:
        limit = getattr(self, name)
        if value > limit:
            raise LimitError(f"{claim}, over the limit {name}={limit}; if you trust the file, allow it: {name}={value}")
