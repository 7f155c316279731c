"""RGB pictures as frames of video: BT.709, limited range, 4:2:0."""

from __future__ import annotations

import numpy as np

from calotype.codecs.y4m import Planes

KR, KB = 0.2126, 0.0722  # ITU-R BT.709
NOTE = "RGB frames are converted to 8-bit 4:2:0 (BT.709, limited range, chroma the mean of 2 x 2 pixels)"


def yuv420_of(pixels: np.ndarray) -> Planes:
    """pixels (H, W, 3) uint8 RGB -> Y (H, W), U, V (ceil(H / 2), ceil(W / 2)) uint8; odd sizes repeat the last pixel."""
    rgb = pixels.astype(np.float32)
    red, green, blue = rgb[..., 0], rgb[..., 1], rgb[..., 2]
    luma = KR * red + (1 - KR - KB) * green + KB * blue
    chroma = [(blue - luma) / (2 * (1 - KB)), (red - luma) / (2 * (1 - KR))]
    y = 16 + luma * (219 / 255)
    u, v = (128 + _halved(plane) * (224 / 255) for plane in chroma)
    return _rounded(y), _rounded(u), _rounded(v)


def _halved(plane: np.ndarray) -> np.ndarray:
    height, width = plane.shape
    even = np.pad(plane, ((0, height % 2), (0, width % 2)), mode="edge")
    return (even[::2, ::2] + even[::2, 1::2] + even[1::2, ::2] + even[1::2, 1::2]) / 4


def _rounded(plane: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(plane), 0, 255).astype(np.uint8)
