"""The prior of `priorgraph.py` as a trainable net: float layers that already see the integers which will be executed."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from .fakequant import FakeQuantDepthwise, FakeQuantHead, FakeQuantLinear, leaky, on_grid, round_ste, signed_log
from .grids import FEATURE_FRAC
from .priorgraph import FEATURE_LIMIT, HEAD_SHIFT, KNOTS, LINEAR_CHANNELS, MEAN_FRAC, PriorConfig, PriorGraph

Quantise = Callable[[Tensor, Tensor, Tensor], Tensor]


class Prior(PriorGraph, nn.Module):
    """Trainable prior. y and z are in units of the quantisation step."""

    def __init__(self, config: PriorConfig):
        super().__init__()
        self.config = config
        m, h, order = config.latents, config.hidden, config.plan
        self.expand = FakeQuantLinear(config.side, 4 * h, KNOTS)
        self.up_dw = FakeQuantDepthwise(h)
        self.up = FakeQuantLinear(h, 4 * h)
        if config.temporal:
            self.past_in = FakeQuantLinear(2 * m, h, KNOTS, gain=0.5)
            self.past_dw = FakeQuantDepthwise(h)
            self.past_mix = FakeQuantLinear(h, h)
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

    def forward(
        self,
        y: Tensor,
        z: Tensor,
        knot_weights: Tensor,
        quantise: Quantise,
        temporal: tuple[Tensor, Tensor] | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """y (B, h, w, M) with h, w even; z (B, ceil(h/4), ceil(w/4), Z) rounded; knot_weights (B, KNOTS).

        quantise(y, mean, index) gives y_hat, which is mean plus integers. temporal: features (B, h, w, H) on the activations'
        grid and the latents (B, h, w, M) of an earlier picture, for a temporal prior.
        Returns mean, continuous scale index, y_hat: each (B, h, w, M).
        """
        _, h, w, _ = y.shape
        order = self.config.plan
        phi = self.hyper(z, knot_weights)[:, :h, :w]
        if temporal is not None:
            given, past = temporal
            phi = self.condition(phi, given, self.past_features(past), knot_weights)
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
    def past_features(y_hat: Tensor) -> Tensor:
        """What the prior sees of an earlier picture's latents: (B, h, w, M) -> (B, h, w, 2 M)."""
        return torch.cat((signed_log(y_hat), signed_log(y_hat.abs())), -1)

    @staticmethod
    def features(y_hat: Tensor, magnitude: Tensor) -> Tensor:
        """What a context step sees: (B, h, w, 2 M + LINEAR_CHANNELS)."""
        linear = (y_hat[..., :LINEAR_CHANNELS] / 16).clamp(-FEATURE_LIMIT, FEATURE_LIMIT)
        return torch.cat((signed_log(y_hat), signed_log(magnitude), on_grid(linear, FEATURE_FRAC)), -1)


def _stack(cells: dict[tuple[int, int], Tensor], groups: tuple[tuple[int, tuple[int, ...]], ...]) -> Tensor:
    """What a step codes, (groups, B, P h/2, w/2, C)."""
    return torch.stack([torch.cat([cells[p, g] for p in places], 1) for g, places in groups])
