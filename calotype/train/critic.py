"""The critic that a generative decoder learns against: patches of pixels and of SqueezeNet's features, real or made.

Plan: projected discriminators (Sauer et al. 2021, arXiv 2111.01007): heads on frozen features learn in few steps. Different:
one more head sees pixels, beside the decoded picture, since features of a net of stride 2 miss fine patterns; no random mixing.
A penalty of the score's slope at photos keeps it bounded (R1: Mescheder et al. 2018, arXiv 1801.04406).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..models.generative.config import GenerativeConfig
from ..models.generative.net import SPREAD, Denoiser, Setting
from ..models.perceptual import TAP_WIDTHS

SEEN = (1, 2)  # taps with a head, at 1/4 and 1/8; one at 1/16 drowned them (docs/experiments)
WIDTH = 64


class Critic(nn.Module):
    """Scores of patches: positive for real."""

    def __init__(self) -> None:
        super().__init__()
        self.pixels = nn.Sequential(
            nn.Conv2d(24, WIDTH, 3, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(WIDTH, WIDTH, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(WIDTH, 1, 3, padding=1),
        )
        self.heads = nn.ModuleList(_head(TAP_WIDTHS[k]) for k in SEEN)

    def forward(self, x: Tensor, given: Tensor, taps: list[Tensor]) -> list[Tensor]:
        """x (B, 3, H, W): a photo or what the net made of `given`, the decoded picture; its taps -> a map of scores
        (B, 1, h, w) from each head."""
        pixels = F.pixel_unshuffle(torch.cat(((x - 0.5) * 4, (x - given) * 16), 1), 2)
        return [self.pixels(pixels), *(h(taps[k] * TAP_WIDTHS[k] ** 0.5) for h, k in zip(self.heads, SEEN, strict=True))]


def slope(critic: Critic, x: Tensor, given: Tensor, taps: list[Tensor]) -> tuple[list[Tensor], Tensor]:
    """The critic's maps of scores, and (B,), to be learnt from: its squared slope in what each head is given, pixels and
    features in units of their deviation; sums over channels, means over places and heads."""
    x, taps = x.detach().requires_grad_(), [t.detach().requires_grad_(k in SEEN) for k, t in enumerate(taps)]
    maps = critic(x, given, taps)
    asked = [(x, SPREAD), *((taps[k], TAP_WIDTHS[k] ** -0.5) for k in SEEN)]
    found = torch.autograd.grad(sum(m.float().sum() for m in maps), [t for t, _ in asked], create_graph=True)
    squares = [(g.float() * unit).square().sum(1).mean((1, 2)) for g, (_, unit) in zip(found, asked, strict=True)]
    return maps, torch.stack(squares).mean(0)


def _head(width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(width, WIDTH, 1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(WIDTH, WIDTH, 3, padding=1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(WIDTH, 1, 1),
    )


class Adversaries(nn.Module):
    """What a run trains: the net, and, in no model file, the critic and the fake net of `matching`."""

    def __init__(self, config: GenerativeConfig, matched: bool = False):
        super().__init__()
        self.config = config
        self.net, self.critic = Denoiser(config), Critic()
        if matched:
            self.fake = Denoiser(config)
        self.integer_weights = False  # the loop sets it; this net has no integer execution
        self.amp = False

    def forward(self, given: Tensor, state: Tensor, setting: Setting) -> Tensor:
        """As the net."""
        return self.net(given, state, setting)
