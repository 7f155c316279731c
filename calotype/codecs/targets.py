"""Quality by outcome: the dial position that gives a size, a rate or a PSNR.

A search over the dial that repeats the entropy stage, not the analysis transform: latents made for one quality serve
qualities near it (within 20 of 100 at 0.1 to 1.1 % of rate + lmbda MSE, mostly under 0.3 %, on six held-out photos), so
that one analysis is enough, or two where the first guess was further off. An overfitted picture is fitted anew each time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ..errors import UsageError
from .image import Encoded, ImageCodec, Progress
from .roi import Roi

if TYPE_CHECKING:
    from .analysis import Analysis
    from .overfit import OverfitCodec, Report

TOP = 1000  # steps of the dial
ENCODES = 8  # entropy stages of a search that finds what it looks for
REACH = 200  # steps of the dial that an analysis serves to each side
BYTES_WITHIN = 0.01  # the search ends this close (natural logarithm of bytes, dB)
DB_WITHIN = 0.02
# where searches start: bpp and PSNR at quality 0 of a typical photo, and their growth a step
LOG_BPP, LOG_BPP_STEP = math.log(0.083), 0.0032
DB, DB_STEP = 25.7, 0.0149


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
    codec: ImageCodec | OverfitCodec,
    pixels: np.ndarray,
    target: Target,
    icc: bytes | None = None,
    reconstruct: bool = False,
    progress: Progress | None = None,
    roi: Roi | None = None,
    report: Report | None = None,
) -> Encoded:
    """Encode to a target, in at most eight passes of the entropy stage and two of the analysis (a third near the dial's end),
    or eight fits, with an eighth of the minutes each.

    size, bpp: a file no larger, and within 1 % of it where the dial's steps allow. psnr: a file that reaches it, by no more
    than 0.02 dB where the steps allow. report: told of each fit. Raises UsageError, naming what can be reached, where the
    dial's end does not suffice; KeyboardInterrupt where a fit was stopped and none before it met the target.
    """
    fits = getattr(codec, "fits", False)
    if target.kind == "quality":
        more: dict[str, Any] = ({"report": report} if fits else {}) | ({} if roi is None else {"roi": roi})
        return codec.encode(pixels, target.value, icc, reconstruct, progress, **more)
    if not getattr(codec, "dial", True):
        raise UsageError(f"model '{codec.bundle.name}' has one rate: leave --{target.kind} out, or take an image model")
    if target.kind == "psnr" and not getattr(codec, "by_psnr", True):
        raise UsageError(f"model '{codec.bundle.name}' does not aim at PSNR: give --quality, --bpp or --size")
    if not math.isfinite(target.value) or target.value <= 0:
        raise UsageError(f"--{target.kind} {target.value}: give a number above 0")
    if fits:
        minutes = None if codec.minutes is None else codec.minutes / ENCODES
        codec = type(codec)(codec.bundle, codec.effort, minutes)
    return _Search(codec, pixels, target, icc, reconstruct, progress, roi, report).run()


@dataclass
class _Search:
    """Regula falsi on the dial, bisection where that stalls. `below`, `above`: (step, value, encoded) on the two sides."""

    codec: ImageCodec | OverfitCodec
    pixels: np.ndarray
    target: Target
    icc: bytes | None
    reconstruct: bool
    progress: Progress | None
    roi: Roi | None
    report: Report | None
    encodes: int = 0
    analyses: int = 0
    below: tuple[int, float, Encoded] | None = None
    above: tuple[int, float, Encoded] | None = None
    made: tuple[int, Analysis | None] | None = field(default=None, repr=False)

    def run(self) -> Encoded:
        """The encode that meets the target."""
        by_size = self.target.kind != "psnr"
        height, width = self.pixels.shape[:2]
        if by_size:
            pixels = height * width
            budget = self.target.value if self.target.kind == "size" else self.target.value * pixels / 8
            goal, within, slope = math.log(budget), -BYTES_WITHIN, LOG_BPP_STEP
            start = (goal - math.log(pixels / 8) - LOG_BPP) / LOG_BPP_STEP
        else:
            goal, within, slope = self.target.value, DB_WITHIN, DB_STEP
            start = (goal - DB) / DB_STEP
        aim, q, same = goal + within / 2, min(max(round(start), 0), TOP), 0
        while True:
            value, encoded = self._at(q)
            over = value > goal if by_size else value >= goal
            if q == (0 if by_size else TOP) and over == by_size and self.made[0] != q:
                self._analyse(q)  # before the end of the dial is said not to suffice
                continue
            same = same + 1 if (self.above if over else self.below) else 0
            if over:
                self.above = q, value, encoded
            else:
                self.below = q, value, encoded
            best = self.below if by_size else self.above
            if getattr(self.codec, "stopped", False):
                if best is None:
                    raise KeyboardInterrupt
                return best[2]
            low, high = self.below[0] if self.below else -1, self.above[0] if self.above else TOP + 1
            if best and (abs(best[1] - goal) <= abs(within) or self.encodes >= ENCODES or high - low <= 1):
                return best[2]
            if high - low <= 1:
                self._out_of_reach(encoded)
            if self.below and self.above and same < 2:
                slope = (self.above[1] - self.below[1]) / (high - low)
                q = low + round((aim - self.below[1]) / max(slope, 1e-9))
            elif self.below and self.above:
                q = (low + high) // 2
            else:
                q += round((aim - value) / slope * (1 + same))
            q = min(max(q, low + 1), high - 1)

    def _at(self, q: int) -> tuple[float, Encoded]:
        """Logarithm of the bytes, or dB, at that step of the dial."""
        self.encodes += 1
        by_psnr = self.target.kind == "psnr"
        given = self.pixels, q * 100 / TOP, self.icc, self.reconstruct or by_psnr, self.progress
        if getattr(self.codec, "fits", False):
            self.made = q, None
            encoded = self.codec.encode(*given, report=self.report, roi=self.roi)
        else:
            if self.made is None or (abs(q - self.made[0]) > REACH and self.analyses < 2):
                self._analyse(q)
            encoded = self.codec.encode(*given, self.roi, self.made[1])
        return (psnr(encoded.reconstruction, self.pixels) if by_psnr else math.log(len(encoded.data))), encoded

    def _analyse(self, q: int) -> None:
        self.analyses += 1
        self.made = q, self.codec.analyse(self.pixels, q * 100 / TOP, self.roi)

    def _out_of_reach(self, last: Encoded) -> None:
        if self.target.kind == "psnr":
            top = psnr(last.reconstruction, self.pixels)
            reached = f"this picture reaches {top:.2f} dB at quality 100; ask for less"
        else:
            reached = f"at quality 0 this picture takes {len(last.data)} bytes; ask for more"
        raise UsageError(f"--{self.target.kind} {self.target.value:g}: {reached}")
