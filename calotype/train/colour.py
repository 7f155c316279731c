"""`codecs/video/colour.py` once more in torch, for B pictures on any device: the same integers."""

from __future__ import annotations

import torch
from torch import Tensor

from ..codecs.video.colour import TO_PLANES, TO_RGB

Planes = tuple[Tensor, Tensor, Tensor]
BT709, BT601 = ("bt709", "limited"), ("bt601", "limited")


def to_rgb(planes: Planes, colour: tuple[str, str] = BT709) -> Tensor:
    """(..., 3, H, W) uint8 RGB of Y (..., H, W), U and V (..., H / 2, W / 2) uint8, H and W even. colour: (matrix, range)."""
    offset, grey, red_v, green_u, green_v, blue_u = TO_RGB[colour]
    y = grey * (planes[0].int() - offset)
    u, v = (p.int().sub_(128).repeat_interleave(2, -2).repeat_interleave(2, -1) for p in planes[1:])
    return _bytes(torch.stack((y + red_v * v, y + green_u * u + green_v * v, y + blue_u * u), -3), 16)


def to_planes(rgb: Tensor, colour: tuple[str, str] = BT709) -> Planes:
    """Y (..., H, W), U and V (..., H / 2, W / 2) uint8 of (..., 3, H, W) uint8 RGB, H and W even."""
    offset, *weights = TO_PLANES[colour]
    rgb = rgb.int()
    four = rgb[..., ::2, ::2] + rgb[..., 1::2, ::2] + rgb[..., ::2, 1::2] + rgb[..., 1::2, 1::2]
    y, u, v = (
        sum(weight * plane for weight, plane in zip(weights[k : k + 3], x.unbind(-3), strict=True))
        for k, x in ((0, rgb), (3, four), (6, four))
    )
    return _bytes(y + (offset << 16), 16), _bytes(u + (128 << 18), 18), _bytes(v + (128 << 18), 18)


def _bytes(value: Tensor, bits: int) -> Tensor:
    return ((value + (1 << (bits - 1))) >> bits).clamp_(0, 255).to(torch.uint8)
