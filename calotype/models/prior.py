"""Hyperprior with a four-step quadtree context: from side latent z and what is decoded so far to (mean, scale index).

Scale and mean hyperprior: Minnen et al. 2018 (arXiv 1809.02736). Four-step context over 2x2 positions x channel groups:
DCVC-DC (Li et al. 2023, arXiv 2302.14402); here each step has its own weights, sees magnitudes besides values, and
the whole graph runs in exact integers.

    z (h/4, w/4, Z) -> 1x1, up 2 -> dw3x3, 1x1, up 2 -> phi (h, w, H)
    step 0:  phi                                            -> 1x1 -> head -> (mean, index) of a quarter of the symbols
    step s:  phi + dw3x3(1x1(decoded values, magnitudes))   -> 1x1 -> head -> the next quarter

`PriorGraph` is written once and run by two sets of layers: the float, fake-quantised ones here (training) and the
integer ones of `integer.py` (coding). Layout NHWC.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .fakequant import (
    FEATURE_FRAC,
    FEATURE_MAX,
    FakeQuantDepthwise,
    FakeQuantHead,
    FakeQuantLinear,
    leaky,
    on_grid,
    round_ste,
    signed_log,
)

STEPS = 4
KNOTS = 11  # quality 0, 10, ... 100: everything that depends on quality is interpolated between these
LEVELS = 64  # scale levels of the frozen Gaussian tables
SIGMA_MIN = 0.05
LEVELS_PER_OCTAVE = 5
SIGMA_MAX = SIGMA_MIN * 2 ** ((LEVELS - 1) / LEVELS_PER_OCTAVE)
MEAN_FRAC = 4  # means are multiples of 1/16
HEAD_SHIFT = 3  # heads give value / 8
LINEAR_CHANNELS = 16  # the strongest latents also enter the context as they are, / 16
Z_MAX = 31
FEATURE_LIMIT = FEATURE_MAX / (1 << FEATURE_FRAC)
Quantise = Callable[[Tensor, Tensor, Tensor], Tensor]
_ORDER = (0, 3, 1, 2)  # the 2x2 positions, diagonal first


def positions(step: int) -> list[tuple[int, int]]:
    """Per channel group (channel modulo 4): row and column within each 2x2 cell that `step` codes."""
    return [divmod(_ORDER[(step + group) % STEPS], 2) for group in range(4)]


def scatter(parts: Tensor, step: int) -> Tensor:
    """(4, B, h/2, w/2, M/4) -> (B, h, w, M), zero wherever `step` codes nothing."""
    _, b, h, w, c = parts.shape
    x = parts.new_zeros(b, h, 2, w, 2, c, 4)
    for g, (i, j) in enumerate(positions(step)):
        x[:, :, i, :, j, :, g] = parts[g]
    return x.view(b, 2 * h, 2 * w, 4 * c)


@dataclass(frozen=True)
class PriorConfig:
    """Sizes of a prior: channels of y, channels of z, hidden width."""

    latents: int = 320
    side: int = 64
    hidden: int = 128

    @property
    def context(self) -> int:
        """Channels that a context step sees: values and magnitudes, and the strongest values once more."""
        return 2 * self.latents + LINEAR_CHANNELS


class PriorGraph:
    """The net between bytes and table indices, over whatever arrays its layers understand.

    Layers: expand, up_dw, up, step{s}_in, step{s}_dw, step{s}_mix, step{s}_head. Primitives: leaky, add, up2, features.
    """

    config: PriorConfig

    def hyper(self, z: Any, quality: Any) -> Any:
        """z (B, h/4, w/4, Z) -> phi (B, h, w, H)."""
        x = self.up2(self.leaky(self.expand(z, quality)))
        x = self.leaky(self.up(self.up_dw(x)))
        return self.up2(x)

    def step(self, s: int, phi: Any, context: Any, quality: Any) -> Any:
        """phi (B, h, w, H), context (B, h, w, C) or None for step 0 -> head output per channel group."""
        x = phi
        if s:
            x = self.add(x, getattr(self, f"step{s}_dw")(self.leaky(getattr(self, f"step{s}_in")(context, quality))))
        x = self.leaky(x)
        x = self.add(x, self.leaky(getattr(self, f"step{s}_mix")(x, None)))
        return getattr(self, f"step{s}_head")(self.gather(x, s), quality)


class Prior(PriorGraph, nn.Module):
    """Trainable prior. y and z are in units of the quantisation step."""

    def __init__(self, config: PriorConfig):
        super().__init__()
        self.config = config
        m, h = config.latents, config.hidden
        if m % 4:
            raise ValueError(f"latents come in four groups: {m} is no multiple of 4")
        self.expand = FakeQuantLinear(config.side, 4 * h, KNOTS)
        self.up_dw = FakeQuantDepthwise(h)
        self.up = FakeQuantLinear(h, 4 * h)
        for s in range(STEPS):
            if s:
                setattr(self, f"step{s}_in", FakeQuantLinear(config.context, h, KNOTS, gain=0.5))
                setattr(self, f"step{s}_dw", FakeQuantDepthwise(h))
            setattr(self, f"step{s}_mix", FakeQuantLinear(h, h))
            setattr(self, f"step{s}_head", FakeQuantHead(h, m // 2, KNOTS))
        self.leaky, self.add = leaky, torch.add

    @staticmethod
    def up2(x: Tensor) -> Tensor:
        """(B, h, w, 4C) -> (B, 2h, 2w, C)."""
        b, h, w, c = x.shape
        return x.view(b, h, w, 2, 2, c // 4).permute(0, 1, 3, 2, 4, 5).reshape(b, 2 * h, 2 * w, c // 4)

    def gather(self, x: Tensor, s: int) -> Tensor:
        """(B, h, w, H) -> (4, B, h/2, w/2, H): for each channel group, the features at the positions it codes."""
        return torch.stack([x[:, i::2, j::2] for i, j in positions(s)])

    def forward(self, y: Tensor, z: Tensor, knot_weights: Tensor, quantise: Quantise):
        """y (B, h, w, M) with h, w even; z (B, ceil(h/4), ceil(w/4), Z) rounded; knot_weights (B, KNOTS).

        quantise(y, mean, index) gives y_hat, which is mean plus integers.
        Returns mean, continuous scale index, y_hat: each (B, h, w, M).
        """
        b, h, w, m = y.shape
        phi = self.hyper(z, knot_weights)[:, :h, :w]
        target = y.reshape(b, h // 2, 2, w // 2, 2, m // 4, 4)
        y_hat, magnitude = torch.zeros_like(y), torch.zeros_like(y)
        parts = []
        for s in range(STEPS):
            context = self.features(y_hat, magnitude) if s else None
            mean, index = (self.step(s, phi, context, knot_weights) * 2.0**HEAD_SHIFT).chunk(2, -1)
            mean = round_ste(mean * 2**MEAN_FRAC) / 2**MEAN_FRAC
            wanted = torch.stack([target[:, :, i, :, j, :, g] for g, (i, j) in enumerate(positions(s))])
            decoded = quantise(wanted, mean, index)
            parts.append(torch.stack((mean, index, decoded)))
            if s < STEPS - 1:
                y_hat = y_hat + scatter(decoded, s)
                magnitude = magnitude + scatter((decoded - mean).detach().abs(), s)
        return tuple(self.assemble(torch.stack(parts)))

    @staticmethod
    def assemble(parts: Tensor) -> Tensor:
        """(steps, V, 4 groups, B, h/2, w/2, M/4) -> (V, B, h, w, M)."""
        cells = [[parts[(_ORDER.index(k) - g) % STEPS, :, g] for g in range(4)] for k in range(4)]
        x = torch.stack([torch.stack(row, -1) for row in cells])  # (4 positions, V, B, h/2, w/2, M/4, 4 groups)
        _, v, b, h, w, c, _ = x.shape
        x = x.view(2, 2, v, b, h, w, c, 4).permute(2, 3, 4, 0, 5, 1, 6, 7)
        return x.reshape(v, b, 2 * h, 2 * w, 4 * c)

    @staticmethod
    def features(y_hat: Tensor, magnitude: Tensor) -> Tensor:
        """What a context step sees: (B, h, w, 2 M + LINEAR_CHANNELS)."""
        linear = (y_hat[..., :LINEAR_CHANNELS] / 16).clamp(-FEATURE_LIMIT, FEATURE_LIMIT)
        return torch.cat((signed_log(y_hat), signed_log(magnitude), on_grid(linear, FEATURE_FRAC)), -1)
