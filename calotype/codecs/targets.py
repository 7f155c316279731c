"""Quality by outcome: the dial position that gives a size, a rate or a PSNR."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..errors import UsageError
from .image import Encoded, ImageCodec, Progress

STEPS = 1000  # of the dial


@dataclass(frozen=True)
class Target:
    """What an encode should reach. value: quality 0..100, bits per pixel, bytes of the file, or dB of RGB PSNR."""

    kind: Literal["quality", "bpp", "size", "psnr"]
    value: float


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """PSNR-RGB in dB of two uint8 pictures of one shape; infinite where they are equal."""
    total = sum(float(np.square(x.astype(np.int32) - y).sum(dtype=np.int64)) for x, y in zip(a, b, strict=True))
    return math.inf if total == 0 else 10 * math.log10(255**2 * a.size / total)


def encode_to(
    codec: ImageCodec,
    pixels: np.ndarray,
    target: Target,
    icc: bytes | None = None,
    reconstruct: bool = False,
    progress: Progress | None = None,
) -> Encoded:
    """Encode to a target, by bisection over the dial (10 encodes at most).

    size, bpp: the best quality whose file is no larger. psnr: the lowest quality that reaches it. Raises UsageError, naming
    what can be reached, where the dial's end does not suffice.
    """

    def at(q: int) -> Encoded:
        return codec.encode(pixels, q * 100 / STEPS, icc, reconstruct or target.kind == "psnr", progress)

    if target.kind != "quality" and not getattr(codec, "dial", True):
        raise UsageError(f"model '{codec.bundle.name}' has one rate: leave --{target.kind} out, or take an image model")
    if target.kind == "quality":
        return codec.encode(pixels, target.value, icc, reconstruct, progress)
    if not math.isfinite(target.value) or target.value <= 0:
        raise UsageError(f"--{target.kind} {target.value}: give a number above 0")
    if target.kind == "psnr":
        best, reached = _bisect(at, lambda e: psnr(e.reconstruction, pixels) < target.value)
        if best is None:
            top = psnr(reached.reconstruction, pixels)
            raise UsageError(f"--psnr {target.value:g}: this picture reaches {top:.2f} dB at quality 100; ask for less")
        return best
    budget = target.value if target.kind == "size" else target.value * pixels.shape[0] * pixels.shape[1] / 8
    over, fits = _bisect(at, lambda e: len(e.data) <= budget)
    if fits is None:
        assert over is not None
        raise UsageError(
            f"--{target.kind} {target.value:g}: at quality 0 this picture takes {len(over.data)} bytes; ask for more"
        )
    return fits


def _bisect(at: Callable[[int], Encoded], below: Callable[[Encoded], bool]) -> tuple[Encoded | None, Encoded | None]:
    """(first that is not below, last that is below) over a dial on which `below` is true, then false; either may be None."""
    low, high = -1, STEPS + 1
    last: Encoded | None = None
    first: Encoded | None = None
    while high - low > 1:
        middle = (low + high) // 2
        encoded = at(middle)
        if below(encoded):
            low, last = middle, encoded
        else:
            high, first = middle, encoded
    return first, last
