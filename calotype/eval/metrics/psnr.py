"""PSNR: of RGB pictures, of the planes of 4:2:0 clips, and the three planes' 6:1:1 mean (JCTVC-H0736's weighting)."""

from __future__ import annotations

import math

import numpy as np

from calotype.errors import UsageError
from calotype.eval.metrics.metric import CLIP, PICTURE, FrameMetric, Planes, check

PLANES = "YUV"


def mse_rgb(a: np.ndarray, b: np.ndarray) -> float:
    """Mean squared difference over all samples of two (H, W, 3) uint8 pictures, exact. Raises UsageError."""
    _check_rgb(a, b)
    return _mse(a, b)


def psnr_rgb(a: np.ndarray, b: np.ndarray) -> float:
    """PSNR in dB of two (H, W, 3) uint8 RGB pictures, peak 255; inf where they are equal. Raises UsageError."""
    return psnr_of(mse_rgb(a, b))


def psnr_of(mse: float, peak: float = 255.0) -> float:
    """dB of a mean squared error; inf for 0."""
    return 10 * math.log10(peak * peak / mse) if mse else math.inf


def psnr_planes(a: Planes, b: Planes) -> tuple[float, float, float]:
    """PSNR in dB of the Y, U and V planes of two frames, peak 255; inf where a plane is equal. Raises UsageError."""
    check(a, b)
    y, u, v = (psnr_of(_mse(x, z)) for x, z in zip(a, b, strict=True))
    return y, u, v


def differing_pixels(a: np.ndarray, b: np.ndarray) -> int:
    """How many pixels of two (H, W, 3) uint8 pictures differ in any channel. Raises UsageError."""
    _check_rgb(a, b)
    return int((a != b).any(axis=2).sum())


def _check_rgb(a: np.ndarray, b: np.ndarray) -> None:
    if isinstance(a, tuple) or isinstance(b, tuple):
        raise UsageError("expected (H, W, 3) uint8 pixels, got planes of a clip")
    check(a, b)


def _mse(a: np.ndarray, b: np.ndarray) -> float:
    # row by row: a 100-megapixel picture as int32 would be 1.2 GB
    total = sum(int(np.square(x.astype(np.int32) - y).sum(dtype=np.int64)) for x, y in zip(a, b, strict=True))
    return total / a.size


class PsnrRgb(FrameMetric):
    name = "psnr_rgb"
    convention = "PSNR on 8-bit RGB, one MSE over the three channels, mean over pictures of each one's PSNR"
    kinds = (PICTURE,)

    def of_frame(self, a: np.ndarray, b: np.ndarray) -> float:
        return psnr_of(_mse(a, b))


class PsnrPlane(FrameMetric):
    """One plane: 0, 1 or 2 for Y, U or V."""

    kinds = (CLIP,)

    def __init__(self, plane: int) -> None:
        self.plane = plane
        self.name = f"psnr_{PLANES[plane].lower()}"
        self.convention = f"PSNR of the 8-bit {PLANES[plane]} plane of 4:2:0, peak 255, mean over frames of each one's PSNR"

    def of_frame(self, a: Planes, b: Planes) -> float:
        return psnr_of(_mse(a[self.plane], b[self.plane]))


class Psnr611(FrameMetric):
    name = "psnr_611"
    convention = "PSNR of 8-bit 4:2:0, (6 Y + U + V) / 8 of the planes' PSNRs, peak 255, mean over frames"
    kinds = (CLIP,)

    def of_frame(self, a: Planes, b: Planes) -> float:
        y, u, v = psnr_planes(a, b)
        return (6 * y + u + v) / 8
