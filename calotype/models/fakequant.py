"""Trainable layers whose forward pass already sees the integers that `integer.py` will execute.

Weights become integers |w| <= 63 times a power of two per output channel, activations lie on the grids of the integer
execution, so that after training the only step left is to read the integers off (`integer.integer_arrays`). The
straight-through estimator is Bengio et al. 2013 (arXiv 1308.3432). Layout is NHWC throughout: a 1x1 convolution is then
one matrix product.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .grids import (
    ACT_FRAC,
    ACT_LIMIT,
    FEATURE_FRAC,
    LEAK_SHIFT,
    REACH_MAX,
    WEIGHT_FRAC,
    WEIGHT_MAX,
)


def round_ste(x: Tensor) -> Tensor:
    """Round half to even going forward, identity going backward."""
    return x + (x.round() - x).detach()


def weight_frac_bits(w: Tensor) -> Tensor:
    """Fractional bits per row (..., O, 1) with which `w` (..., O, K) uses the range |integer| <= 63 best, its sum bounded."""
    size = w.detach().abs()
    peak = size.amax(-1, keepdim=True).clamp_min(1e-8)
    reach = size.sum(-1, keepdim=True).clamp_min(1e-8)
    room = REACH_MAX - w.shape[-1] // 2  # rounding may add half a unit a weight
    return torch.floor(torch.log2(torch.minimum(WEIGHT_MAX / peak, room / reach))).clamp_(*WEIGHT_FRAC)


def quantise_weight(w: Tensor) -> Tensor:
    """Fake-quantised `w` (..., O, K): integers |w| <= 63 times 2**-f per row, straight-through gradient."""
    step = torch.exp2(-weight_frac_bits(w))
    q = (w.detach() / step).round_().clamp_(-WEIGHT_MAX, WEIGHT_MAX) * step
    return w + (q - w.detach())


def on_grid(x: Tensor, frac: int, offset: float = 0.5) -> Tensor:
    """x at multiples of 2**-frac: rounded, or for offset 0 floored, as integers shifted right are; straight-through."""
    with torch.no_grad():
        gap = torch.floor(x * 2.0**frac + offset) * 2.0**-frac - x
    return x + gap


def clamp_act(x: Tensor) -> Tensor:
    """Saturate to the range of an integer activation, [-64, 64), and round to its grid."""
    return on_grid(x.clamp(-ACT_LIMIT, ACT_LIMIT), ACT_FRAC)


def leaky(x: Tensor) -> Tensor:
    """Leaky ReLU with slope 1/8, an arithmetic shift in the integer execution."""
    return on_grid(F.leaky_relu(x, 2.0**-LEAK_SHIFT), ACT_FRAC, 0.0)


def signed_log(x: Tensor) -> Tensor:
    """sign(x) * log2(1 + |x|): compresses latents of any size; a table in the integer execution."""
    return torch.copysign(on_grid(torch.log2(1 + x.abs()), FEATURE_FRAC), x)


class FakeQuantLinear(nn.Module):
    """1x1 convolution on (..., K) -> (..., O); `knots` > 0 gives it one bias per quality knot instead of one in all."""

    def __init__(self, inputs: int, outputs: int, knots: int = 0, gain: float = 1.0):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) * (gain / inputs**0.5))
        self.bias = nn.Parameter(torch.zeros(max(knots, 1), outputs))

    def forward(self, x: Tensor, knot_weights: Tensor | None = None) -> Tensor:
        """x (B, ..., K), knot_weights (B, knots) or None -> (B, ..., O)."""
        y = F.linear(x, quantise_weight(self.weight), self.bias[0] if knot_weights is None else None)
        if knot_weights is not None:
            b = knot_weights @ self.bias
            y = y + b.view(b.shape[0], *([1] * (y.dim() - 2)), b.shape[1])
        return clamp_act(y)


class FakeQuantDepthwise(nn.Module):
    """Depthwise 3x3 on (B, H, W, C), zero padding, no bias; starts as the identity."""

    def __init__(self, channels: int):
        super().__init__()
        w = torch.randn(channels, 9) * 0.05
        w[:, 4] += 1
        self.weight = nn.Parameter(w)

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, C) -> (B, H, W, C)."""
        w = quantise_weight(self.weight).view(-1, 1, 3, 3)
        y = F.conv2d(x.permute(0, 3, 1, 2), w, padding=1, groups=w.shape[0])
        return clamp_act(y.permute(0, 2, 3, 1))


class FakeQuantHead(nn.Module):
    """A linear map for each channel group: (groups, R, K) -> (groups, R, O). The outputs are the final values / 8."""

    def __init__(self, groups: int, inputs: int, outputs: int, knots: int):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(groups, outputs, inputs))
        self.bias = nn.Parameter(torch.zeros(knots, groups, outputs))

    def forward(self, x: Tensor, knot_weights: Tensor) -> Tensor:
        """x (groups, B, h, w, K), knot_weights (B, knots) -> (groups, B, h, w, O)."""
        y = torch.bmm(x.flatten(1, 3), quantise_weight(self.weight).transpose(1, 2)).unflatten(1, x.shape[1:4])
        b = torch.einsum("bk,kgo->gbo", knot_weights, self.bias)
        return y + b[:, :, None, None]
