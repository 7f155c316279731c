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

    def grid(self, t: float, size: int, side: int) -> Tensor:
        """Where the pixels of frame t (size x size) lie in a photo piece of side x side, as `grid_sample` takes it."""
        axis = torch.arange(size, dtype=torch.float32) - (size - 1) / 2
        y, x = torch.meshgrid(axis, axis, indexing="ij")
        zoom = float(np.exp(self.growth * t))
        cos, sin = np.cos(self.turn * t) * zoom, np.sin(self.turn * t) * zoom
        dx, dy = self.shift * t + 0.5 * self.acceleration * t * t
        field = torch.from_numpy(self.warp * np.sin(2 * np.pi * t / self.period)).float()
        wx, wy = F.interpolate(field[None], (size, size), mode="bicubic", align_corners=True)[0]
        gx, gy = x * cos - y * sin + dx + wx, x * sin + y * cos + dy + wy
        return torch.stack((gx, gy), -1)[None] * (2 / side)


def clip(rng: np.random.Generator, background: Tensor, thing: Tensor, frames: int, size: int) -> np.ndarray:
    """(frames, size, size, 3) uint8 RGB. background, thing: photo pieces (S, S, 3) uint8, S = size + 2 * MARGIN."""
    layers = [(_layer(piece), Motion.draw(rng)) for piece in (background, thing)]
    mask = _mask(rng, size) if rng.random() < 0.7 else None
    fade = rng.normal(0, 0.02) if rng.random() < 0.2 else 0.0
    noise = rng.uniform(0, 3) if rng.random() < 0.5 else 0.0
    out = []
    for k in range(frames):
        t = k - (frames - 1) / 2
        picture = _sample(*layers[0], t, size)
        if mask is not None:
            grid = layers[1][1].grid(t, size, size)
            share = F.grid_sample(mask, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
            picture = picture + share * (_sample(*layers[1], t, size) - picture)
        picture = picture[0] * (1 + fade * k)
        if noise:
            picture = picture + torch.from_numpy(rng.normal(0, noise, picture.shape)).float()
        out.append(picture.round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).numpy())
    return np.stack(out)


def _layer(piece: Tensor) -> Tensor:
    return piece.permute(2, 0, 1)[None].float()


def _sample(layer: Tensor, motion: Motion, t: float, size: int) -> Tensor:
    grid = motion.grid(t, size, layer.shape[-1])
    return F.grid_sample(layer, grid, mode="bicubic", padding_mode="reflection", align_corners=False)


def _mask(rng: np.random.Generator, size: int) -> Tensor:
    """A blob with a soft edge, (1, 1, size, size) in [0, 1], a tenth to a half of the picture."""
    noise = torch.from_numpy(rng.normal(0, 1, (1, 1, 5, 5))).float()
    smooth = F.interpolate(noise, (size, size), mode="bicubic", align_corners=True)
    level = torch.quantile(smooth.flatten(), float(rng.uniform(0.5, 0.9)))
    return ((smooth - level) * (size / 8)).clamp(0, 1)
