"""Hyperprior with a context in steps: from side latent z and what is decoded so far to (mean, scale index).

Scale and mean hyperprior: Minnen et al. 2018 (arXiv 1809.02736). Which symbols a step codes is a plan (`plans.py`), by
default the quadtree of DCVC-DC (Li et al. 2023, arXiv 2302.14402); here each step has its own weights, sees magnitudes
besides values, and the whole graph runs in exact integers.

    z (h/4, w/4, Z) -> 1x1, up 2 -> dw3x3, 1x1, up 2 -> phi (h, w, H)
    step 0:  phi                                            -> 1x1 -> head -> (mean, index) of the first symbols
    step s:  phi + dw3x3(1x1(decoded values, magnitudes))   -> 1x1 -> head -> the next ones

With `scales_ahead` one more head gives every scale index from phi alone and the steps give means only: then all symbols
of a tile are one call of the entropy decoder.

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
from .plans import QUADTREE, Plan, plan

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


@dataclass(frozen=True)
class PriorConfig:
    """Sizes of a prior: channels of y, channels of z, hidden width; the kind of its plan; whether scales depend on z only.

    Raises ValueError where there is no such plan.
    """

    latents: int = 320
    side: int = 64
    hidden: int = 128
    kind: str = QUADTREE
    scales_ahead: bool = False

    def __post_init__(self) -> None:
        plan(self.kind, self.latents)

    @property
    def plan(self) -> Plan:
        """In which order the latents are coded."""
        return plan(self.kind, self.latents)

    @property
    def context(self) -> int:
        """Channels that a context step sees: values and magnitudes, and the strongest values once more."""
        return 2 * self.latents + LINEAR_CHANNELS


class PriorGraph:
    """The net between bytes and table indices, over whatever arrays its layers understand.

    Layers: expand, up_dw, up, step{s}_in, step{s}_dw, step{s}_mix, step{s}_head; scales ahead: scales_mix, scales_head and
    step{s}_means in place of heads. Primitives: leaky, add, up2, gather, quality_at (of what a step codes).
    """

    config: PriorConfig

    def hyper(self, z: Any, quality: Any) -> Any:
        """z (B, h/4, w/4, Z) -> phi (B, h, w, H)."""
        x = self.up2(self.leaky(self.expand(z, quality)))
        x = self.leaky(self.up(self.up_dw(x)))
        return self.up2(x)

    def scales(self, phi: Any, quality: Any) -> Any:
        """phi (B, h, w, H) -> all scale indices (1, B, h, w, M), where they come ahead."""
        x = self.leaky(phi)
        return self.scales_head(self.add(x, self.leaky(self.scales_mix(x, None)))[None], quality)

    def step(self, s: int, phi: Any, context: Any, quality: Any) -> Any:
        """phi (B, h, w, H), context (B, h, w, C) or None for step 0 -> head output per channel group."""
        x = phi
        if s:
            x = self.add(x, getattr(self, f"step{s}_dw")(self.leaky(getattr(self, f"step{s}_in")(context, quality))))
        x = self.leaky(x)
        x = self.add(x, self.leaky(getattr(self, f"step{s}_mix")(x, None)))
        head = getattr(self, f"step{s}_means" if self.config.scales_ahead else f"step{s}_head")
        return head(self.gather(x, s), self.quality_at(quality, s))


class Prior(PriorGraph, nn.Module):
    """Trainable prior. y and z are in units of the quantisation step."""

    def __init__(self, config: PriorConfig):
        super().__init__()
        self.config = config
        m, h, order = config.latents, config.hidden, config.plan
        self.expand = FakeQuantLinear(config.side, 4 * h, KNOTS)
        self.up_dw = FakeQuantDepthwise(h)
        self.up = FakeQuantLinear(h, 4 * h)
        for s, groups in enumerate(order.steps):
            if s:
                setattr(self, f"step{s}_in", FakeQuantLinear(config.context, h, KNOTS, gain=0.5))
                setattr(self, f"step{s}_dw", FakeQuantDepthwise(h))
            setattr(self, f"step{s}_mix", FakeQuantLinear(h, h))
            if config.scales_ahead:
                setattr(self, f"step{s}_means", FakeQuantHead(len(groups), h, order.width(s), KNOTS))
            else:
                setattr(self, f"step{s}_head", FakeQuantHead(len(groups), h, 2 * order.width(s), KNOTS))
        if config.scales_ahead:
            self.scales_mix = FakeQuantLinear(h, h)
            self.scales_head = FakeQuantHead(1, h, m, KNOTS)
        self.leaky, self.add = leaky, torch.add

    @torch.no_grad()
    def start_scales(self, index: Tensor) -> None:
        """Start each scale index, before any context, at index (KNOTS, M)."""
        if self.config.scales_ahead:
            self.scales_head.bias[:, 0] = index / 2**HEAD_SHIFT
            return
        order = self.config.plan
        for s, groups in enumerate(order.steps):
            head = getattr(self, f"step{s}_head")
            for k, (g, _) in enumerate(groups):
                head.bias[:, k, order.width(s) :] = index[:, order.channels(g)] / 2**HEAD_SHIFT

    @staticmethod
    def up2(x: Tensor) -> Tensor:
        """(B, h, w, 4C) -> (B, 2h, 2w, C)."""
        b, h, w, c = x.shape
        return x.view(b, h, w, 2, 2, c // 4).permute(0, 1, 3, 2, 4, 5).reshape(b, 2 * h, 2 * w, c // 4)

    @staticmethod
    def quality_at(quality: Tensor, s: int) -> Tensor:
        """One quality a sample, wherever a step codes."""
        return quality

    def gather(self, x: Tensor, s: int) -> Tensor:
        """(B, h, w, H) -> (groups, B, P h/2, w/2, H): for each group of step s, the features at its P positions."""
        b, h, w, c = x.shape
        cells = x.view(b, h // 2, 2, w // 2, 2, c).permute(2, 4, 0, 1, 3, 5).reshape(4, b, h // 2, w // 2, c).unbind()
        return torch.stack([torch.cat([cells[p] for p in places], 1) for _, places in self.config.plan.steps[s]])

    def split(self, x: Tensor) -> dict[tuple[int, int], Tensor]:
        """(B, h, w, M) -> (B, h/2, w/2, channels of the group) for each (position, group)."""
        order = self.config.plan
        b, h, w, m = x.shape
        n = order.stride
        cells = x.view(b, h // 2, 2, w // 2, 2, m // n, n).permute(2, 4, 6, 0, 1, 3, 5)
        flat = cells.reshape(4 * n, b, h // 2, w // 2, m // n).unbind()  # its gradient is one stack
        if n > 1:
            return {divmod(k, n): part for k, part in enumerate(flat)}
        return {(k, g): part for k in range(4) for g, part in enumerate(flat[k].split(order.sizes, -1))}

    def join(self, cells: dict[tuple[int, int], Tensor]) -> Tensor:
        """The reverse of `split`; parts (V, B, h/2, w/2, C) -> (V, B, h, w, M)."""
        order = self.config.plan
        n = order.stride
        rows = [torch.cat([cells[k, g] for g in range(len(order.sizes))], -1) for k in range(4)]
        x = torch.stack(rows).unflatten(-1, (n, -1))  # (4, V, B, h/2, w/2, n, M/n)
        _, v, b, h, w, _, c = x.shape
        return x.view(2, 2, v, b, h, w, n, c).permute(2, 3, 4, 0, 5, 1, 7, 6).reshape(v, b, 2 * h, 2 * w, n * c)

    def forward(self, y: Tensor, z: Tensor, knot_weights: Tensor, quantise: Quantise) -> tuple[Tensor, Tensor, Tensor]:
        """y (B, h, w, M) with h, w even; z (B, ceil(h/4), ceil(w/4), Z) rounded; knot_weights (B, KNOTS).

        quantise(y, mean, index) gives y_hat, which is mean plus integers.
        Returns mean, continuous scale index, y_hat: each (B, h, w, M).
        """
        _, h, w, _ = y.shape
        order = self.config.plan
        phi = self.hyper(z, knot_weights)[:, :h, :w]
        target = self.split(y)
        ahead = self.split((self.scales(phi, knot_weights) * 2.0**HEAD_SHIFT)[0]) if self.config.scales_ahead else None
        context = None
        seen = {key: part.new_zeros(2, *part.shape) for key, part in target.items()}
        done: dict[tuple[int, int], Tensor] = {}
        for s, groups in enumerate(order.steps):
            out = self.step(s, phi, context, knot_weights) * 2.0**HEAD_SHIFT
            if ahead is None:
                mean, index = out.chunk(2, -1)
            else:
                mean, index = out, _stack(ahead, groups)
            mean = round_ste(mean * 2**MEAN_FRAC) / 2**MEAN_FRAC
            decoded = quantise(_stack(target, groups), mean, index)
            parts = torch.stack((mean, index, decoded))
            context_parts = torch.stack((decoded, (decoded - mean).detach().abs()))
            for k, (g, places) in enumerate(groups):
                for position, part, known in zip(
                    places, parts[:, k].chunk(len(places), 2), context_parts[:, k].chunk(len(places), 2), strict=True
                ):
                    done[position, g], seen[position, g] = part, known
            if s + 1 < len(order.steps):
                context = self.features(*self.join(seen))
        mean, index, y_hat = self.join(done)
        return mean, index, y_hat

    @staticmethod
    def features(y_hat: Tensor, magnitude: Tensor) -> Tensor:
        """What a context step sees: (B, h, w, 2 M + LINEAR_CHANNELS)."""
        linear = (y_hat[..., :LINEAR_CHANNELS] / 16).clamp(-FEATURE_LIMIT, FEATURE_LIMIT)
        return torch.cat((signed_log(y_hat), signed_log(magnitude), on_grid(linear, FEATURE_FRAC)), -1)


def _stack(cells: dict[tuple[int, int], Tensor], groups: tuple[tuple[int, tuple[int, ...]], ...]) -> Tensor:
    """What a step codes, (groups, B, P h/2, w/2, C)."""
    return torch.stack([torch.cat([cells[p, g] for p in places], 1) for g, places in groups])
