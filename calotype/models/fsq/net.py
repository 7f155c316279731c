"""The encoder of few indices in floats, and the decoder as it is trained.

Source: Mentzer et al., "Finite Scalar Quantization: VQ-VAE Made Simple" (arXiv 2309.15505): a bounded latent, rounded,
gradients passed through; no codebook. Different: two scales, the finer knowing the coarser; channels are in an order, and any
number of the first ones is decoded (nested dropout, Rippel et al., arXiv 1402.0915); their rate has a price in training
(train/fsqrates.py); the decoder is a plain stack of layers, executed in integers (models/neural/stack.py).

    x (B, 3, H, W) --unshuffle 4, 3x3--> 1/4 --unshuffle 2, 1x1, block--> 1/8 --unshuffle 2, 1x1, blocks--> f at 1/16
    f --unshuffle 2, 1x1, blocks--> coarse (B, C, H/32, W/32)      f, coarse enlarged --1x1, block--> fine (B, F, H/16, W/16)
    value and flag of each channel (B, 2 (C + F), H/16, W/16) --stack--> (B, 3, H, W)
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..image import Block, leaky_relu
from ..neural.fitnet import FitNet
from ..neural.stack import ACT_FRACTION
from .config import COARSE_TOP, FINE_TOP, FsqConfig
from .planes import FLAG, VALUE

QUARTER = 48  # channels of the encoder at 1/4
BEYOND = 0.4  # of the bound over the outermost index


class Indices(NamedTuple):
    """coarse (B, C, h / 2, w / 2), fine (B, F, h, w): integers in floats."""

    coarse: Tensor
    fine: Tensor


def quantised(z: Tensor, top: int) -> Tensor:
    """Integers within +-top, whose gradient is that of the bounded z."""
    bounded = torch.tanh(z.float()) * (top + BEYOND)
    return bounded + (bounded.round() - bounded).detach()


class Encoder(nn.Module):
    """Pixels to indices."""

    def __init__(self, config: FsqConfig):
        super().__init__()
        width, eighth = config.analysis, config.analysis * 3 // 4
        self.enter = nn.Conv2d(48, QUARTER, 3, padding=1)
        self.to_eighth = nn.Conv2d(4 * QUARTER, eighth, 1)
        self.eighth = Block(eighth)
        self.to_sixteenth = nn.Conv2d(4 * eighth, width, 1)
        self.sixteenth = nn.Sequential(*(Block(width) for _ in range(config.blocks)))
        self.to_coarse = nn.Conv2d(4 * width, width, 1)
        self.coarse = nn.Sequential(Block(width), Block(width), nn.Conv2d(width, config.coarse, 1))
        self.to_fine = nn.Conv2d(width + config.coarse, width, 1)
        self.fine = nn.Sequential(Block(width), nn.Conv2d(width, config.fine, 1))

    def forward(self, x: Tensor) -> Indices:
        """x (B, 3, H, W) in [0, 1], sides multiples of 32."""
        x = leaky_relu(self.enter(F.pixel_unshuffle((x - 0.5) * 4, 4)))
        x = self.eighth(self.to_eighth(F.pixel_unshuffle(x, 2)))
        x = self.sixteenth(self.to_sixteenth(F.pixel_unshuffle(x, 2)))
        coarse = quantised(self.coarse(self.to_coarse(F.pixel_unshuffle(x, 2))), COARSE_TOP)
        known = F.interpolate(coarse, scale_factor=2.0, mode="nearest")
        fine = quantised(self.fine(self.to_fine(torch.cat((x, known.to(x.dtype)), 1))), FINE_TOP)
        return Indices(coarse, fine)


class FsqNet(nn.Module):
    """Both nets."""

    def __init__(self, config: FsqConfig):
        super().__init__()
        self.config = config
        self.encoder, self.decoder = Encoder(config), FitNet(config.shapes())
        nn.init.constant_(self.decoder.biases[-1], 2.0)  # the middle of 256 levels, of 1/64 each
        with torch.no_grad():
            self.decoder.weights[-1] *= 0.2

    def decode(self, indices: Indices, count: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1], not cut, of the first count (B,) channels of each."""
        coarse = F.interpolate(indices.coarse, scale_factor=2.0, mode="nearest")
        values = torch.cat((coarse, indices.fine), 1)
        flags = (torch.arange(values.shape[1], device=count.device) < count[:, None]).to(values.dtype)[:, :, None, None]
        planes = torch.cat((values * flags * VALUE, (flags * FLAG).expand_as(values)), 1) / (1 << ACT_FRACTION)
        return self.decoder(planes) / 255
