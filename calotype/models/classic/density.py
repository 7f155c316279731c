"""The densities of the classic architectures: a learned one per channel, and a Gaussian of given scale and mean.

Source: Balle, Minnen, Singh, Hwang, Johnston, "Variational image compression with a scale hyperprior" (arXiv 1802.01436),
appendix 6.1 and section 3. Parameter names are CompressAI's. What differs: only the evaluation side (rounding, no noise), and
the tables come from the density itself, with no need for converged quantiles; of these only the median is used.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...entropy import TableBank, factorised_bank, gaussian_bank
from ...errors import ModelError

LIKELIHOOD_MIN = 1e-9
LEVELS, SIGMA_MIN, SIGMA_MAX = 64, 0.11, 256.0
PRECISION = 14  # of the tables: float models were trained without a floor under their probabilities
WIDTHS = (1, 3, 3, 3, 3, 1)
TAIL = 1e-6  # mass on either side that a channel's table may leave to the escape
RADIUS_MAX = 1 << 13


class EntropyBottleneck(nn.Module):
    """A monotone net per channel whose sigmoid is the cumulative density of that channel."""

    def __init__(self, channels: int):
        super().__init__()
        scale = 10 ** (1 / (len(WIDTHS) - 1))
        self.matrices, self.biases, self.factors = nn.ParameterList(), nn.ParameterList(), nn.ParameterList()
        for layer, (i, o) in enumerate(zip(WIDTHS[:-1], WIDTHS[1:], strict=True)):
            self.matrices.append(torch.full((channels, o, i), math.log(math.expm1(1 / scale / o))))
            self.biases.append(torch.rand(channels, o, 1) - 0.5)
            if layer < len(WIDTHS) - 2:
                self.factors.append(torch.zeros(channels, o, 1))
        self.quantiles = nn.Parameter(torch.tensor([-10.0, 0.0, 10.0]).repeat(channels, 1, 1))

    def logits(self, x: Tensor) -> Tensor:
        """(C, 1, n) -> logits of the cumulative density there, (C, 1, n)."""
        for layer, (matrix, bias) in enumerate(zip(self.matrices, self.biases, strict=True)):
            x = F.softplus(matrix) @ x + bias
            if layer < len(self.factors):
                x = x + self.factors[layer].tanh() * x.tanh()
        return x

    def median(self) -> Tensor:
        """(1, C, 1, 1): what is subtracted before rounding."""
        return self.quantiles[:, 0, 1][None, :, None, None]

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, C, H, W) -> x rounded to its median plus integers, and the likelihood of each value."""
        value = (x - self.median()).round() + self.median()
        b, c, h, w = value.shape
        flat = value.transpose(0, 1).reshape(c, 1, -1)
        mass = self.logits(flat + 0.5).sigmoid() - self.logits(flat - 0.5).sigmoid()
        return value, mass.clamp_min(LIKELIHOOD_MIN).view(c, b, h, w).transpose(0, 1)

    @torch.no_grad()
    def tables(self) -> TableBank:
        """Frozen tables of round(x - median), one per channel. Raises ModelError for a density without bounds."""
        double = EntropyBottleneck(len(self.quantiles)).double()
        double.load_state_dict(self.state_dict())
        median, radius = double.median().view(-1, 1, 1), 16
        while True:
            ends = double.logits(median + torch.tensor([-radius - 0.5, radius + 0.5], dtype=torch.float64)).sigmoid()
            if float(ends[..., 0].max()) < TAIL and float(ends[..., 1].min()) > 1 - TAIL:
                break
            if radius == RADIUS_MAX:
                break  # the escape codes what lies beyond
            radius *= 2
        pmfs = []
        for channel in range(len(median)):
            one = _channel(double, channel)
            edges = median[channel] + torch.arange(-radius, radius + 2, dtype=torch.float64) - 0.5
            logits = one.logits(edges[None])[0, 0]
            # Differences of sigmoids on the side where these are small: the same masses, without cancellation.
            sign = 1 - 2 * (logits[1:] + logits[:-1] > 0).double()
            mass = ((sign * logits[1:]).sigmoid() - (sign * logits[:-1]).sigmoid()).abs().numpy()
            if not np.isfinite(mass).all() or mass.sum() < 0.5:
                raise ModelError(
                    f"channel {channel} of the model's factorised density is none within +-{radius} of its median: the "
                    "checkpoint is damaged or was never trained"
                )
            pmfs.append(mass)
        return factorised_bank(pmfs, [-radius] * len(pmfs), PRECISION)


def _channel(density: EntropyBottleneck, channel: int) -> EntropyBottleneck:
    one = EntropyBottleneck(1).double()
    one.load_state_dict({name: value[channel : channel + 1] for name, value in density.state_dict().items()})
    return one


class GaussianConditional:
    """A Gaussian of given scale and mean, convolved with a box of one integer. It has no parameters."""

    @staticmethod
    def likelihood(value: Tensor, scale: Tensor, mean: Tensor | None = None) -> Tensor:
        """Of each value (already its mean plus an integer); all of one shape."""
        scale = scale.clamp_min(SIGMA_MIN)
        size = (value if mean is None else value - mean).abs()
        mass = _cumulative((0.5 - size) / scale) - _cumulative((-0.5 - size) / scale)
        return mass.clamp_min(LIKELIHOOD_MIN)

    @staticmethod
    def level(scale: Tensor) -> Tensor:
        """int64 table index of each scale: the first level that is no smaller, the last one where there is none."""
        return torch.searchsorted(_levels(scale), scale.contiguous())

    @staticmethod
    def tables() -> TableBank:
        """Frozen tables of the 64 levels, sigma = 0.11 (256 / 0.11)^(i / 63)."""
        return gaussian_bank(LEVELS, SIGMA_MIN, SIGMA_MAX, PRECISION)


def _cumulative(x: Tensor) -> Tensor:
    return 0.5 * torch.erfc(x * -(2**-0.5))


def _levels(like: Tensor) -> Tensor:
    """The levels but the last, which takes all that is left."""
    step = math.log(SIGMA_MAX / SIGMA_MIN) / (LEVELS - 1)
    return torch.tensor(
        [SIGMA_MIN * math.exp(step * i) for i in range(LEVELS - 1)], dtype=like.dtype, device=like.device
    )
