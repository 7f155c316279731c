"""What is trained of a model of few indices: its nets, and what indices cost.

Each index is guessed from those known before it, and the guess leaves it some bits.

Source: an autoregressive prior of a mean and a scale (Minnen et al. 2018, arXiv 1809.02736). Different: channels one after the
other, so that earlier ones are known all over; a small net for each. No model file has it: the codec's own prior
(models/fsq/prior.py) learns from counts.

    known of this scale: earlier channels 3x3, this one's causal 5x5 --+--> leaky, 1x1 of each channel --> mean, scale
    coarse (enlarged) 3x3, of the finer scale ------------------------+
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..models.fsq.config import COARSE_TOP, FINE_TOP, FsqConfig
from ..models.fsq.net import FsqNet, Indices

HIDDEN = 16  # of a channel
_LEAST = 0.05  # scale of a guess


class ScaleRates(nn.Module):
    """Bits of the channels of one scale."""

    def __init__(self, channels: int, top: int, given: int):
        """given: channels that are known whole before these."""
        super().__init__()
        self.channels, self.top = channels, top
        rows = channels * HIDDEN
        self.earlier = nn.Conv2d(channels, rows, 3, padding=1)
        self.own = nn.Conv2d(channels, rows, 5, padding=2, groups=channels, bias=False)
        self.given = nn.Conv2d(given, rows, 3, padding=1, bias=False) if given else None
        self.leave = nn.Conv2d(rows, 2 * channels, 1, groups=channels)
        before = torch.arange(channels)[:, None] > torch.arange(channels)
        self.register_buffer("before", before.repeat_interleave(HIDDEN, 0)[:, :, None, None].float(), persistent=False)
        causal = (torch.arange(25) < 12).float().view(1, 1, 5, 5)
        self.register_buffer("causal", causal, persistent=False)

    def forward(self, values: Tensor, known: Tensor | None) -> Tensor:
        """values (B, C, h, w); known (B, given, h, w) -> bits of each, as values."""
        x = values / self.top
        seen = F.conv2d(x, self.earlier.weight * self.before, self.earlier.bias, padding=1)
        seen = seen + F.conv2d(x, self.own.weight * self.causal, padding=2, groups=self.channels)
        if self.given is not None and known is not None:
            seen = seen + self.given(known)
        told = self.leave(F.leaky_relu(seen, 0.125)).unflatten(1, (self.channels, 2)).float()
        mean, scale = told[:, :, 0] * self.top, F.softplus(told[:, :, 1]) + _LEAST
        off, half = (values - mean).abs(), 0.5 / scale
        # the logistic's mass of half an index to each side; by the smaller tail, which floats have exactly
        mass = torch.sigmoid(half - off / scale) - torch.sigmoid(-half - off / scale)
        return -torch.log2(mass.clamp_min(1e-6))


class Rates(nn.Module):
    """Of both scales."""

    def __init__(self, config: FsqConfig):
        super().__init__()
        self.coarse = ScaleRates(config.coarse, COARSE_TOP, 0)
        self.fine = ScaleRates(config.fine, FINE_TOP, config.coarse)

    def forward(self, indices: Indices, count: Tensor) -> Tensor:
        """Bits (B,) of the first count (B,) channels."""
        known = F.interpolate(indices.coarse / COARSE_TOP, scale_factor=2.0, mode="nearest")
        each = self.coarse(indices.coarse, None), self.fine(indices.fine, known)
        bits = torch.cat([b.sum((2, 3)) for b in each], 1)
        return (bits * (torch.arange(bits.shape[1], device=count.device) < count[:, None])).sum(1)


class FsqTrained(nn.Module):
    """What a run trains: both nets, and, in no model file, what tells the rate."""

    def __init__(self, config: FsqConfig):
        super().__init__()
        self.config = config
        self.net, self.rates = FsqNet(config), Rates(config)
        self.integer_weights = self.amp = False  # the loop sets them; integers of ten bits a weight need no training

    def forward(self, x: Tensor, count: Tensor) -> tuple[Tensor, Tensor]:
        """x (B, 3, H, W) in [0, 1], channels that are coded (B,) -> the picture, not cut, and bits (B,)."""
        indices: Indices = self.net.encoder(x)
        return self.net.decode(indices, count), self.rates(indices, count)
