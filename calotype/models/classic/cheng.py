"""cheng2020-anchor. Cheng, Sun, Takeuchi, Katto, "Learned image compression with discretized Gaussian mixture likelihoods and
attention modules" (arXiv 2001.01568): CompressAI's anchor of it, that is its residual transforms, with the context model and
the single Gaussian of mbt2018 (`joint.py`), without attention. Names are CompressAI's.

    x --down, block, down, block, down, block, 3x3/2--> y (B, N, H/16, W/16), and back by sub-pixel convolutions
"""

from __future__ import annotations

from torch import nn

from .joint import JointPrior
from .layers import ResidualBlock, ResidualDown, ResidualUp, conv, subpixel


class Cheng2020Anchor(JointPrior):
    """M is N. h_a is five 3x3 convolutions, two of them of stride 2; h_s its mirror image."""

    def make_transforms(self, n: int, m: int) -> None:
        """As `JointPrior.make_transforms`. Raises ValueError unless m is n."""
        if n != m:
            raise ValueError(f"cheng2020-anchor has as many latents as channels, not {m} and {n}")
        act, k = nn.LeakyReLU, n * 3 // 2
        self.g_a = nn.Sequential(
            *(ResidualDown(3, n), ResidualBlock(n), ResidualDown(n, n), ResidualBlock(n)),
            *(ResidualDown(n, n), ResidualBlock(n), conv(n, n, 3, 2)),
        )
        self.g_s = nn.Sequential(
            *(ResidualBlock(n), ResidualUp(n), ResidualBlock(n), ResidualUp(n)),
            *(ResidualBlock(n), ResidualUp(n), ResidualBlock(n), subpixel(n, 3)),
        )
        self.h_a = nn.Sequential(
            *(conv(n, n, 3, 1), act(), conv(n, n, 3, 1), act(), conv(n, n, 3, 2), act()),
            *(conv(n, n, 3, 1), act(), conv(n, n, 3, 2)),
        )
        self.h_s = nn.Sequential(
            *(conv(n, n, 3, 1), act(), subpixel(n, n), act(), conv(n, k, 3, 1), act()),
            *(subpixel(k, k), act(), conv(k, 2 * n, 3, 1)),
        )
