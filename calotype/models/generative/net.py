"""One network call from a decoded picture to one that looks real.

Taken: one net for many rates, told of the rate as of a time (OSCAR, arXiv 2505.16091); fidelity by the decoded picture, which
is input and skip (SODEC's fidelity guidance); a light convolutional denoiser trained from scratch, by flow matching and then
adversarially for one step (CoD-Lite); a realism dial that the net is told (CRDR). Different: it works on pixels, on what the
PSNR-trained image codec takes away.

    state: residual and noise  s_t = (1 - t) (x - m) / SPREAD + t noise        decoding: t = 1, noise times realism; one call,
      or several along the flow's straight line (`stepped`, arXiv 2210.02747)
    m, s (B, 6, H, W) --unshuffle 4, block--> 1/4 --unshuffle 2, blocks--> 1/8 --shuffle 2, + skip, blocks--> 1/4
      --1x1, shuffle 2--> 1/2 --3x3, shuffle 2--> x - m (B, 3, H, W)
    scale, quality, t, realism --> a gain and an offset for each channel before each block
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..image import Block, leaky_relu
from .config import HALF_WIDTH, GenerativeConfig
from .dial import QUALITIES, SCALES
from .flow import times

SPREAD = 0.06  # of the residual: its usual deviation at the lowest rates, pixels in [0, 1]
KNOTS, TIMES = 5, 4  # hat functions over the quality and over t
EMBEDDED = 64


class Setting(NamedTuple):
    """What the net is told of each picture, (B,) each: scale 1..3 and quality 0..300 as coded, time 0..1, realism 0..1."""

    scale: Tensor
    quality: Tensor
    time: Tensor
    realism: Tensor

    @staticmethod
    def of(
        count: int, scale: int, quality: float, realism: float, device: torch.device | str = "cpu", time: float = 1.0
    ) -> Setting:
        """For decoding `count` pictures."""
        return Setting(*(torch.full((count,), float(v), device=device) for v in (scale, quality, time, realism)))

    def features(self) -> Tensor:
        """(B, SCALES + KNOTS + TIMES + 1)."""
        scales = torch.arange(1, SCALES + 1, device=self.scale.device)
        at = hats(self.quality / QUALITIES, KNOTS), hats(self.time, TIMES)
        return torch.cat(((self.scale[:, None] == scales).float(), *at, self.realism[:, None]), 1)


def hats(x: Tensor, count: int) -> Tensor:
    """x (B,) in [0, 1], cut to it -> (B, count) weights of a linear interpolation."""
    knots = torch.arange(count, device=x.device, dtype=torch.float32)
    return (1 - (x.clamp(0, 1)[:, None] * (count - 1) - knots).abs()).clamp_min(0)


class FineBlock(nn.Module):
    """x + 3x3(act(3x3(x)))."""

    def __init__(self, width: int):
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        nn.init.normal_(self.second.weight, std=0.3 / (9 * width) ** 0.5)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, C, h, w)."""
        return x + self.second(leaky_relu(self.first(x)))


class Denoiser(nn.Module):
    """The net."""

    def __init__(self, config: GenerativeConfig):
        super().__init__()
        self.config = config
        fine, width = config.fine, config.width
        self.enter = nn.Conv2d(6 * 16, fine, 1)
        self.first = FineBlock(fine)
        self.down = nn.Conv2d(4 * fine, width, 1)
        self.coarse = nn.ModuleList(Block(width) for _ in range(config.blocks))
        self.up = nn.Conv2d(width, 4 * fine, 1)
        self.fine = nn.ModuleList(FineBlock(fine) for _ in range(config.fine_blocks))
        self.leave = nn.Conv2d(fine, 4 * HALF_WIDTH, 1)
        self.last = nn.Conv2d(HALF_WIDTH, 12, 3, padding=1)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)
        self.widths = [fine] + [width] * config.blocks + [fine] * config.fine_blocks
        self.embed = nn.Sequential(
            nn.Linear(SCALES + KNOTS + TIMES + 1, EMBEDDED), nn.SiLU(), nn.Linear(EMBEDDED, 2 * sum(self.widths))
        )
        nn.init.zeros_(self.embed[2].weight)
        nn.init.zeros_(self.embed[2].bias)

    def forward(self, given: Tensor, state: Tensor, setting: Setting) -> Tensor:
        """given (B, 3, H, W) in [0, 1], the decoded picture; state (B, 3, H, W) as above -> the picture, not clipped. H and W:
        multiples of 8."""
        return given + SPREAD * self.residual(given, state, setting).float()

    def residual(self, given: Tensor, state: Tensor, setting: Setting) -> Tensor:
        """(B, 3, H, W), in SPREAD."""
        told = [v[:, :, None, None] for v in self.embed(setting.features()).split([2 * w for w in self.widths], 1)]
        fine, coarse = (told[0], *told[1 + len(self.coarse) :]), told[1 : 1 + len(self.coarse)]
        x = self.enter(F.pixel_unshuffle(torch.cat(((given - 0.5) * 4, state), 1), 4))
        skip = self.first(_told(x, fine[0]))
        x = self.down(F.pixel_unshuffle(skip, 2))
        for block, how in zip(self.coarse, coarse, strict=True):
            x = block(_told(x, how))
        x = F.pixel_shuffle(self.up(x), 2) + skip
        for block, how in zip(self.fine, fine[1:], strict=True):
            x = block(_told(x, how))
        return F.pixel_shuffle(self.last(leaky_relu(F.pixel_shuffle(self.leave(x), 2))), 2)


def _told(x: Tensor, how: Tensor) -> Tensor:
    """x (B, C, h, w) with the gain and the offset of how (B, 2 C, 1, 1)."""
    gain, offset = how.chunk(2, 1)
    return torch.addcmul(offset.to(x.dtype), x, 1 + gain.to(x.dtype))


def stepped(given: Tensor, state: Tensor, made: Tensor, time: float, after: float) -> Tensor:
    """One Euler step of the flow whose pictures are `made`: the state at `time` -> at `after`, (B, 3, H, W)."""
    return state + (after - time) / time * (state - (made - given) / SPREAD)


def sampled(
    net: Callable[[Tensor, Tensor, Setting], Tensor], given: Tensor, state: Tensor, setting: Setting, steps: int
) -> Tensor:
    """The picture (B, 3, H, W) that so many calls make, from the state at time 1."""
    for time, after in times(steps):
        made = net(given, state, setting._replace(time=torch.full_like(setting.time, time)))
        state = stepped(given, state, made, time, after)
    return made


def shrink(x: Tensor, scale: int) -> Tensor:
    """x (B, 3, H, W), in [0, 1] or uint8, sides multiples of scale -> (B, 3, H / scale, W / scale): cubic, antialiased."""
    if scale == 1:
        return x
    small = F.interpolate(x, (x.shape[2] // scale, x.shape[3] // scale), mode="bicubic", antialias=True)
    return small.clamp(0, 1) if small.is_floating_point() else small


def enlarge(x: Tensor, scale: int) -> Tensor:
    """x (B, 3, h, w) -> (B, 3, scale h, scale w): cubic, in [0, 1]."""
    return x if scale == 1 else enlarged(x, scale).clamp(0, 1)


def enlarged(x: Tensor, scale: int) -> Tensor:
    """The same, not cut: gradients pass where it is beyond."""
    return x if scale == 1 else F.interpolate(x, scale_factor=scale, mode="bicubic")
