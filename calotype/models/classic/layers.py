"""Layers of the classic architectures, with CompressAI's parameter names. Tensors are (B, C, H, W) float.

GDN: Balle, Laparra, Simoncelli, "Density modeling of images using a generalized normalization transformation" (arXiv
1511.06281). Residual and sub-pixel blocks: Cheng et al. (arXiv 2001.01568). Masked convolution: van den Oord et al.,
"Conditional image generation with PixelCNN decoders" (arXiv 1606.05328).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

PEDESTAL = 2.0**-36  # parameters of GDN are stored as sqrt(value + PEDESTAL), so that gradients at 0 live
BETA_MIN = 1e-6


def conv(inputs: int, outputs: int, kernel: int = 5, stride: int = 2) -> nn.Conv2d:
    """Convolution that divides the grid by `stride`."""
    return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2)


def deconv(inputs: int, outputs: int, kernel: int = 5, stride: int = 2) -> nn.ConvTranspose2d:
    """Transposed convolution that multiplies the grid by `stride`."""
    return nn.ConvTranspose2d(inputs, outputs, kernel, stride, kernel // 2, stride - 1)


def subpixel(inputs: int, outputs: int) -> nn.Sequential:
    """3x3 convolution, then each 4 channels become 2x2 positions."""
    return nn.Sequential(nn.Conv2d(inputs, 4 * outputs, 3, padding=1), nn.PixelShuffle(2))


class GDN(nn.Module):
    """x / sqrt(beta + gamma x^2) over channels at each position; times the root where `inverse`."""

    def __init__(self, channels: int, inverse: bool = False):
        super().__init__()
        self.inverse = inverse
        self.beta = nn.Parameter((torch.ones(channels) + PEDESTAL).sqrt())
        self.gamma = nn.Parameter((0.1 * torch.eye(channels) + PEDESTAL).sqrt())

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> the same."""
        beta = self.beta.clamp_min((BETA_MIN + PEDESTAL) ** 0.5).square() - PEDESTAL
        gamma = self.gamma.clamp_min(PEDESTAL**0.5).square() - PEDESTAL
        norm = F.conv2d(x.square(), gamma[:, :, None, None], beta)
        return x * (norm.sqrt() if self.inverse else norm.rsqrt())


class CausalConv(nn.Conv2d):
    """5x5 convolution that sees only what precedes a position in raster order."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__(inputs, outputs, 5, padding=2)
        mask = torch.ones(5, 5)
        mask[2, 2:] = 0
        mask[3:] = 0
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, O, H, W)."""
        return F.conv2d(x, self.weight * self.mask, self.bias, padding=2)

    def taps(self) -> Tensor:
        """(O, 12 C): weights of the 12 preceding positions in raster order, channels innermost."""
        return self.weight.permute(0, 2, 3, 1).flatten(1, 2)[:, :12].flatten(1)


class ResidualBlock(nn.Module):
    """x + act(3x3(act(3x3(x))))."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv1 = conv(channels, channels, 3, 1)
        self.conv2 = conv(channels, channels, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> the same."""
        return x + F.leaky_relu(self.conv2(F.leaky_relu(self.conv1(x))))


class ResidualDown(nn.Module):
    """1x1(x) + GDN(3x3(act(3x3(x)))), to half the grid."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.conv1 = conv(inputs, outputs, 3, 2)
        self.conv2 = conv(outputs, outputs, 3, 1)
        self.gdn = GDN(outputs)
        self.skip = nn.Conv2d(inputs, outputs, 1, 2)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, O, H/2, W/2)."""
        return self.skip(x) + self.gdn(self.conv2(F.leaky_relu(self.conv1(x))))


class ResidualUp(nn.Module):
    """subpixel(x) + IGDN(3x3(act(subpixel(x)))), to twice the grid."""

    def __init__(self, channels: int):
        super().__init__()
        self.subpel_conv = subpixel(channels, channels)
        self.conv = conv(channels, channels, 3, 1)
        self.igdn = GDN(channels, inverse=True)
        self.upsample = subpixel(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, 2 H, 2 W)."""
        return self.upsample(x) + self.igdn(self.conv(F.leaky_relu(self.subpel_conv(x))))
