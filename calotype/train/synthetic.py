"""Clips from photos: a camera and an object that move, so that a video model sees motion of every kind that photos allow.

Background and object are photos under their own affine motion (pan, zoom, rotation, with acceleration) and a slow warp; the
object covers and uncovers the background; light may fade and the sensor may add noise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

MARGIN = 48  # pixels of photo around the crop; what moves in from further away is mirrored


@dataclass(frozen=True)
class Motion:
    """Of one layer, per frame and frame squared: shift in pixels (x, y), turn in radians, growth as a logarithm."""

    shift: np.ndarray
    acceleration: np.ndarray
    turn: float
    growth: float
    warp: np.ndarray  # (2, 4, 4) pixels at full swing
    period: float  # frames of the warp's swing

    @staticmethod
    def draw(rng: np.random.Generator) -> Motion:
        """Slow motion more often than fast: speeds of 0.05 to 12 pixels a frame, evenly in logarithm; one in eight is still."""
        speed = 0.0 if rng.random() < 0.125 else float(np.exp(rng.uniform(np.log(0.05), np.log(12))))
        angle = rng.uniform(0, 2 * np.pi)
        calm = 0.0 if rng.random() < 0.4 else 1.0
        return Motion(
            shift=speed * np.array([np.cos(angle), np.sin(angle)]),
            acceleration=rng.normal(0, 0.05 * speed, 2),
            turn=calm * float(rng.normal(0, 0.008)),
            growth=calm * float(rng.normal(0, 0.008)),
            warp=calm * rng.normal(0, rng.choice([0.0, 0.5, 2.0]), (2, 4, 4)),
            period=float(rng.uniform(6, 30)),
        )

    def grids(self, t: np.ndarray, size: int, side: int, device: torch.device) -> Tensor:
        """Where the pixels of the frames at times t (T,) lie in a photo piece of side x side: (T, size, size, 2), as
        `grid_sample` takes it."""
        axis = torch.arange(size, dtype=torch.float32, device=device) - (size - 1) / 2
        y, x = torch.meshgrid(axis, axis, indexing="ij")
        zoom = np.exp(self.growth * t)
        dx, dy = self.shift[:, None] * t + 0.5 * self.acceleration[:, None] * t * t
        swing = np.sin(2 * np.pi * t / self.period)
        parts = np.stack((np.cos(self.turn * t) * zoom, np.sin(self.turn * t) * zoom, dx, dy, swing))
        cos, sin, dx, dy, swing = torch.from_numpy(parts).float().to(device, non_blocking=True)[:, :, None, None]
        warp = torch.from_numpy(self.warp).float().to(device, non_blocking=True)
        wx, wy = F.interpolate(warp[None], (size, size), mode="bicubic", align_corners=True)[0]
        gx, gy = x * cos - y * sin + dx + swing * wx, x * sin + y * cos + dy + swing * wy
        return torch.stack((gx, gy), -1) * (2 / side)


def clip(rng: np.random.Generator, background: Tensor, thing: Tensor, frames: int, size: int) -> Tensor:
    """(frames, 3, size, size) uint8 RGB, made where the pieces are. background, thing: photo pieces (S, S, 3) uint8,
    S = size + 2 * MARGIN."""
    device = background.device
    layers = [(_layer(piece), Motion.draw(rng)) for piece in (background, thing)]
    mask = _mask(rng, size).to(device) if rng.random() < 0.7 else None
    fade = rng.normal(0, 0.02) if rng.random() < 0.2 else 0.0
    noise = rng.uniform(0, 3) if rng.random() < 0.5 else 0.0
    number = np.arange(frames)
    t = number - (frames - 1) / 2
    pictures = _sample(*layers[0], t, size)
    if mask is not None:
        grids = layers[1][1].grids(t, size, size, device)
        masks = mask.expand(frames, -1, -1, -1)
        share = F.grid_sample(masks, grids, mode="bilinear", padding_mode="zeros", align_corners=False)
        pictures = pictures + share * (_sample(*layers[1], t, size) - pictures)
    light = torch.from_numpy(1 + fade * number).float().to(device, non_blocking=True)
    pictures = pictures * light[:, None, None, None]
    if noise:
        generator = torch.Generator(device).manual_seed(int(rng.integers(1 << 62)))
        pictures = pictures + noise * torch.randn(pictures.shape, generator=generator, device=device)
    return pictures.round().clamp(0, 255).to(torch.uint8)


def _layer(piece: Tensor) -> Tensor:
    return piece.permute(2, 0, 1)[None].float()


def _sample(layer: Tensor, motion: Motion, t: np.ndarray, size: int) -> Tensor:
    grids = motion.grids(t, size, layer.shape[-1], layer.device)
    layers = layer.expand(len(t), -1, -1, -1)
    return F.grid_sample(layers, grids, mode="bicubic", padding_mode="reflection", align_corners=False)


def _mask(rng: np.random.Generator, size: int) -> Tensor:
    """A blob with a soft edge, (1, 1, size, size) in [0, 1], a tenth to a half of the picture."""
    noise = torch.from_numpy(rng.normal(0, 1, (1, 1, 5, 5))).float()
    smooth = F.interpolate(noise, (size, size), mode="bicubic", align_corners=True)
    level = torch.quantile(smooth.flatten(), float(rng.uniform(0.5, 0.9)))
    return ((smooth - level) * (size / 8)).clamp(0, 1)
