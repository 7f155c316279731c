"""Distances between pictures. Each states its convention in CONVENTIONS, to be printed beside its figures."""

from __future__ import annotations

import math

import numpy as np

from calotype.errors import UsageError

CONVENTIONS = {"psnr_rgb": "PSNR on 8-bit RGB, one MSE over the three channels, mean over pictures of each one's PSNR"}


def mse_rgb(a: np.ndarray, b: np.ndarray) -> float:
    """Mean squared difference over all samples of two (H, W, 3) uint8 pictures, exact. Raises UsageError."""
    _check(a, b)
    # row by row: a 100-megapixel picture as int32 would be 1.2 GB
    total = sum(int(np.square(x.astype(np.int32) - y).sum(dtype=np.int64)) for x, y in zip(a, b, strict=True))
    return total / a.size


def psnr_rgb(a: np.ndarray, b: np.ndarray) -> float:
    """PSNR in dB of two (H, W, 3) uint8 RGB pictures, peak 255; inf where they are equal. Raises UsageError."""
    return psnr_of(mse_rgb(a, b))


def psnr_of(mse: float, peak: float = 255.0) -> float:
    """dB of a mean squared error; inf for 0."""
    return 10 * math.log10(peak * peak / mse) if mse else math.inf


def differing_pixels(a: np.ndarray, b: np.ndarray) -> int:
    """How many pixels of two (H, W, 3) uint8 pictures differ in any channel. Raises UsageError."""
    _check(a, b)
    return int((a != b).any(axis=2).sum())


def _check(a: np.ndarray, b: np.ndarray) -> None:
    for picture in (a, b):
        if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8 or not picture.size:
            raise UsageError(f"expected (H, W, 3) uint8 pixels, got {picture.shape} {picture.dtype}")
    if a.shape != b.shape:
        raise UsageError(f"pictures of different sizes cannot be compared: {a.shape} and {b.shape}")
