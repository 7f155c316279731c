"""The encoder's float transforms: pixels to latents, latents to side latents. Imports torch; decoders do without."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..models.bundle import ImageBundle
from ..models.image import modulate
from .dial import Dial
from .grid import LATENT, Box


@dataclass(frozen=True)
class Analysis:
    """The unrounded latents (1, M, h, w) of each tile, with the quality that they were made for."""

    tiles: list[tuple[Tensor, Dial]]

    def at(self, bundle: ImageBundle, number: int, dial: Dial) -> Tensor:
        """The latents of a tile in the steps of another quality."""
        y, made_for = self.tiles[number]
        with torch.inference_mode():
            change = dial.weights(bundle.device) - made_for.weights(bundle.device)
            return modulate(y, change, bundle.model.log_gain)


def crop(pixels: np.ndarray, box: Box) -> Tensor:
    """The pixels of a box given in latents, edges repeated beyond the picture: (1, 3, H, W) float in [0, 1]."""
    top, bottom, left, right = (v * LATENT for v in box)
    part = torch.from_numpy(np.array(pixels[top:bottom, left:right], order="C")).permute(2, 0, 1)[None].float() / 255
    return F.pad(part, (0, right - left - part.shape[3], 0, bottom - top - part.shape[2]), mode="replicate")


def analyse(bundle: ImageBundle, pixels: np.ndarray, outer: Box, inner: Box, dial: Dial) -> Tensor:
    """y (1, M, h, w), in steps, of the box `inner`, from the pixels of `outer`; dial: of `outer`."""
    with torch.inference_mode():
        y = bundle.model.analyse(crop(pixels, outer).to(bundle.device), dial.weights(bundle.device))
    top, left = inner[0] - outer[0], inner[2] - outer[2]
    return y[:, :, top : top + inner[1] - inner[0], left : left + inner[3] - inner[2]]


def latents(bundle: ImageBundle, y: Tensor, dial: Dial, limit: int) -> tuple[np.ndarray, np.ndarray]:
    """y (1, M, h, w) -> side latents (h/4, w/4, Z) int32, and y as (h, w, M) float32 within +-limit."""
    with torch.inference_mode():
        z = bundle.model.side(y, dial.side_weights(bundle.device)).round()[0].permute(1, 2, 0)
        flat = y[0].permute(1, 2, 0).clamp(-limit, limit).contiguous().cpu().numpy()
        return z.contiguous().cpu().numpy().astype(np.int32), flat
