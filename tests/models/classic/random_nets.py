"""Nets of the classic architectures with weights like trained ones: latents of several steps, densities of many widths."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from calotype.models.classic.families import ARCHITECTURES, ClassicConfig

N, M = 8, 12
CONFIGS = {name: ClassicConfig(i, N, N if name.startswith("cheng") else M) for i, name in enumerate(ARCHITECTURES)}


@torch.no_grad()
def perturb(net: nn.Module, seed: int = 0) -> nn.Module:
    """Move every parameter, by its name, so that ours and CompressAI's nets are moved alike; returns the net in eval mode."""
    generator = torch.Generator().manual_seed(seed)
    for name, p in sorted(net.named_parameters()):
        noise = torch.randn(p.shape, generator=generator)
        if name.endswith(("beta", "gamma")):
            p.add_(0.03 * noise.abs())
        elif name == "entropy_bottleneck.quantiles":
            p[..., 1] += 3 * noise[..., 1]
        elif name.startswith("entropy_bottleneck"):
            p.add_(0.3 * noise)
        else:
            p.copy_(noise * (0.1 if p.ndim == 1 else gain(name) / p[0].numel() ** 0.5))
    if hasattr(net, "h_s"):
        layers = net.entropy_parameters if hasattr(net, "entropy_parameters") else net.h_s
        [layer for layer in layers if hasattr(layer, "bias")][-1].bias[: net.M] += 1.5  # scales
    return net.eval()


def gain(name: str) -> float:
    """Of the last convolutions of the analyses, so that latents are no mere zeros."""
    return 12.0 if name in ("g_a.6.weight", "h_a.4.weight", "h_a.8.weight") else 1.0


def picture(seed: int = 0, side: int = 64) -> Tensor:
    """(1, 3, side, side) in [0, 1], smooth and not quite."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 3, side // 16, side // 16, generator=generator)
    smooth = nn.functional.interpolate(coarse, scale_factor=16, mode="bilinear")
    return (smooth + 0.05 * torch.randn(smooth.shape, generator=generator)).clamp(0, 1)
