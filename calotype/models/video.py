"""The inter-frame model: what P and B frames are coded with, given a motion-compensated prediction of them.

After DCVC-RT (Jia et al. 2025, arXiv 2502.20762): everything on a 1/8 grid, one latent at 1/16, a quality vector at both ends
of each trunk, a temporal prior; of DCVC-FM (Li et al. 2024, arXiv 2402.17414) the one model for all rates. What differs:
motion is explicit, by blocks (`models/motion`), since a small net learns no motion; a block may take either of two references
or their mean, so P and B frames are one net (DCVC-B, Sheng et al. 2024, arXiv 2408.08604, has bi-directional contexts in this
place). The net starts as a transform codec of the prediction's error (a KLT), and what frames pass on is decoded integers,
never features.

    base, difference (B, 96, H/8, W/8)  --1x1, gain, blocks--> c (B, C, H/8, W/8)    what is known before the first bit
    c --unshuffle 2, 1x1--> given (B, H, H/16, W/16): for the prior, beside the latents of the first reference
    x - base, c --trunk, + x - base--> KLT, gain --> y (B, M, H/16, W/16)
    y_hat --1/gain, KLT transposed--> v (B, 96, H/8, W/8);  v, c --trunk--> x_hat = base + v + trunk

Cells: Y by pixel_unshuffle(8), U and V by pixel_unshuffle(4), all (sample - 128) / 256.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .fakequant import clamp_act, round_ste
from .image import (
    Block,
    hyper_analysis,
    knot_weights,
    logistic_bits,
    modulate,
    quality_lmbda,
    quantise_fixed,
    quantise_hard,
    rounded_blocks,
    side_latents,
    soft_noise,
    symbol_bits,
)
from .imageconfig import QUALITY_MAX
from .prior import Prior, Quantise
from .priorgraph import KNOTS, LEVELS, LEVELS_PER_OCTAVE, SIGMA_MIN
from .videoconfig import CELL, CELLS, VideoConfig

LUMA = CELL * CELL
# What a squared error of a chroma sample weighs, one of luma being 1. By planes 6:1:1 would be 2/3; but the metric is a mean of
# dBs, and what chroma lacks in one frame the next ones inherit: at 2/3 it fell 10 dB in 15 frames (docs/experiments).
CHROMA_WEIGHT = 6.0
CHROMA_SCALE = math.sqrt(CHROMA_WEIGHT)


class Prediction(NamedTuple):
    """What is known of a frame: base and difference (B, 96, h, w), and the latents (B, M, h/2, w/2) of its first reference,
    zero where that was an intra frame."""

    base: Tensor
    difference: Tensor
    past: Tensor


class Coded(NamedTuple):
    """Of a training pass: x_hat (B, 96, h, w), y_hat (B, M, h/2, w/2), bits of y and z (B,)."""

    x_hat: Tensor
    y_hat: Tensor
    y_bits: Tensor
    z_bits: Tensor


class Parts(NamedTuple):
    """Of what an encoder codes: unrounded y, scale index and symbols, (B, M, h/2, w/2) each."""

    y: Tensor
    index: Tensor
    symbols: Tensor


def to_cells(y: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """Planes (B, H, W), (B, H/2, W/2) twice, H and W multiples of 8 -> (B, 96, H/8, W/8)."""
    parts = F.pixel_unshuffle(y[:, None], CELL), *(F.pixel_unshuffle(p[:, None], CELL // 2) for p in (u, v))
    return torch.cat(parts, 1)


def to_planes(cells: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The reverse of `to_cells`."""
    y, u, v = cells.split((LUMA, LUMA // 4, LUMA // 4), 1)
    return F.pixel_shuffle(y, CELL)[:, 0], F.pixel_shuffle(u, CELL // 2)[:, 0], F.pixel_shuffle(v, CELL // 2)[:, 0]


class ConditionedTrunk(nn.Module):
    """A residual on the cells that also sees the context c, modulated by quality at both ends; starts at zero."""

    def __init__(self, width: int, blocks: int):
        super().__init__()
        self.enter = nn.Conv2d(CELLS, width, 1)
        self.condition = nn.Conv2d(width, width, 1)
        self.blocks = nn.Sequential(*(Block(width) for _ in range(blocks)))
        self.leave = nn.Conv2d(width, CELLS, 1)
        nn.init.normal_(self.enter.weight, std=4 / CELLS**0.5)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)
        self.log_enter = nn.Parameter(torch.zeros(KNOTS, width))
        self.log_leave = nn.Parameter(torch.zeros(KNOTS, width))

    def forward(self, u: Tensor, c: Tensor, weights: Tensor) -> Tensor:
        """u (B, 96, h, w), c (B, C, h, w), weights as in `modulate` -> (B, 96, h, w)."""
        x = modulate(self.enter(u), weights, self.log_enter) + self.condition(c)
        return self.leave(modulate(self.blocks(x), weights, self.log_leave))


class Context(nn.Module):
    """What the net makes of a prediction before the first bit."""

    def __init__(self, width: int, blocks: int):
        super().__init__()
        self.enter = nn.Conv2d(CELLS, width, 1)
        self.difference = nn.Conv2d(CELLS, width, 1)
        self.blocks = nn.Sequential(*(Block(width) for _ in range(blocks)))
        self.log_enter = nn.Parameter(torch.zeros(KNOTS, width))
        for layer in (self.enter, self.difference):
            nn.init.normal_(layer.weight, std=2 / CELLS**0.5)

    def forward(self, base: Tensor, difference: Tensor, weights: Tensor) -> Tensor:
        """base, difference (B, 96, h, w) -> c (B, C, h, w)."""
        return self.blocks(modulate(self.enter(base) + self.difference(difference), weights, self.log_enter))


class InterModel(nn.Module):
    """Context, analysis and synthesis transforms, hyper analysis and prior."""

    def __init__(self, config: VideoConfig):
        super().__init__()
        self.config = config
        m, width, hidden = config.latents, config.width, config.hidden
        self.context = Context(width, config.context_blocks)
        self.analysis = ConditionedTrunk(width, config.analysis_blocks)
        self.synthesis = ConditionedTrunk(width, config.synthesis_blocks)
        self.to_latent = nn.Conv2d(4 * CELLS, m, 1, bias=False)
        self.from_latent = nn.Conv2d(m, 4 * CELLS, 1, bias=False)
        nn.init.orthogonal_(self.to_latent.weight)
        self.from_latent.weight.data = self.to_latent.weight.data.transpose(0, 1).clone()
        # as in the image model, for 0.75 lmbda a luma sample in place of lmbda / 3
        step = torch.sqrt(8 / (math.log(2) * quality_lmbda(torch.linspace(0, QUALITY_MAX, KNOTS)))) / 256
        self.log_gain = nn.Parameter(-torch.log(step)[:, None].repeat(1, m))
        self.log_inverse_gain = nn.Parameter(torch.log(step)[:, None].repeat(1, m))
        self.to_prior = nn.Conv2d(4 * width, hidden, 1)
        self.prior = Prior(config.of_prior)
        self.hyper = hyper_analysis(m, hidden, config.side)
        self.log_z_gain = nn.Parameter(torch.zeros(KNOTS, config.side))
        self.z_mean = nn.Parameter(torch.zeros(config.side))
        self.z_log_scale = nn.Parameter(torch.full((config.side,), -1.0))
        self.integer_weights = False  # whether decoder trunks see the 7-bit weights that they will be executed with
        self.amp = False  # trunks in bfloat16 (CUDA training); all else stays float32

    @torch.no_grad()
    def start_from_klt(self, basis: Tensor, variance: Tensor) -> None:
        """Start the transforms as the KLT (basis (M, 384), variance (M,)) of errors whose chroma is scaled by CHROMA_SCALE,
        and each scale at that coefficient's deviation."""
        scale = torch.ones(CELLS, 4)
        scale[LUMA:] = CHROMA_SCALE
        scale = scale.flatten()
        self.to_latent.weight.copy_((basis * scale)[:, :, None, None])
        self.from_latent.weight.copy_((basis / scale).T[:, :, None, None])
        sigma = torch.sqrt(variance) * torch.exp(self.log_gain)
        index = LEVELS_PER_OCTAVE * torch.log2(sigma.clamp_min(1e-6) / SIGMA_MIN) - LEVELS_PER_OCTAVE
        self.prior.start_scales(index.clamp(0, LEVELS - 1))

    def known(self, prediction: Prediction, weights: Tensor) -> tuple[Tensor, Tensor]:
        """c (B, C, h, w) and, for the prior, given (B, h/2, w/2, H) on the activations' grid."""
        with torch.autocast(prediction.base.device.type, torch.bfloat16, enabled=self.amp):
            c = self._decoder(self.context)(prediction.base, prediction.difference, weights).float()
        return c, clamp_act(self.to_prior(F.pixel_unshuffle(c, 2)).permute(0, 2, 3, 1))

    def _decoder(self, trunk: nn.Module) -> Callable[..., Tensor]:
        return rounded_blocks(trunk) if self.integer_weights else trunk

    def analyse(self, x: Tensor, base: Tensor, c: Tensor, weights: Tensor) -> Tensor:
        """Cells x and base (B, 96, h, w), h and w even -> y (B, M, h/2, w/2) in steps."""
        error = x - base
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self.amp):
            residual = self.analysis(error, c, weights).to(x.dtype)
        return modulate(self.to_latent(F.pixel_unshuffle(error + residual, 2)), weights, self.log_gain)

    def synthesise(self, y_hat: Tensor, base: Tensor, c: Tensor, weights: Tensor) -> Tensor:
        """y_hat (B, M, h/2, w/2) in steps -> x_hat (B, 96, h, w), not clipped."""
        v = F.pixel_shuffle(self.from_latent(modulate(y_hat, weights, self.log_inverse_gain)), 2)
        with torch.autocast(base.device.type, torch.bfloat16, enabled=self.amp):
            residual = self._decoder(self.synthesis)(v, c, weights).to(base.dtype)
        return base + v + residual

    def side(self, y: Tensor, weights: Tensor) -> Tensor:
        """y (B, M, h, w) -> unrounded z (B, Z, ceil(h/4), ceil(w/4))."""
        return side_latents(self.hyper, y, weights, self.log_z_gain)

    def forward(self, x: Tensor, prediction: Prediction, quality: Tensor) -> Coded:
        """Training pass: x (B, 96, h, w), h and w even; quality (B,) in 0..1000. Relaxations as in `ImageModel.rate`."""
        weights = knot_weights(quality)
        c, given = self.known(prediction, weights)
        y = self.analyse(x, prediction.base, c, weights)
        z = self.side(y, weights)
        mean, index, y_hat = self.latents(y, round_ste(z), given, prediction.past, weights, quantise_fixed)
        y_bits = symbol_bits((y_hat - mean).detach().round(), index)
        relaxed = symbol_bits(soft_noise(y - mean), index.detach())
        y_bits = y_bits + (relaxed - relaxed.detach())
        z_bits = self.side_bits(z + (torch.rand_like(z) - 0.5))
        return Coded(self.synthesise(y_hat, prediction.base, c, weights), y_hat, y_bits.sum((1, 2, 3)), z_bits)

    def coded(self, x: Tensor, prediction: Prediction, quality: Tensor) -> tuple[Coded, Parts]:
        """As an encoder without rate-distortion optimised rounding codes it; arguments as `forward`."""
        weights = knot_weights(quality)
        c, given = self.known(prediction, weights)
        y = self.analyse(x, prediction.base, c, weights)
        z = self.side(y, weights)
        mean, index, y_hat = self.latents(y, z.round(), given, prediction.past, weights, quantise_hard)
        symbols = (y_hat - mean).round()
        x_hat = self.synthesise(y_hat, prediction.base, c, weights)
        bits = symbol_bits(symbols, index).sum((1, 2, 3)), self.side_bits(z.round())
        return Coded(x_hat, y_hat, *bits), Parts(y, index, symbols)

    def latents(
        self, y: Tensor, z: Tensor, given: Tensor, past: Tensor, weights: Tensor, quantise: Quantise
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Mean, continuous scale index, y_hat: (B, M, h, w) each; y (B, M, h, w), rounded z (B, Z, ...)."""
        y, z, past = (v.permute(0, 2, 3, 1) for v in (y, z, past))
        mean, index, y_hat = (v.permute(0, 3, 1, 2) for v in self.prior(y, z, weights, quantise, (given, past)))
        return mean, index, y_hat

    def side_bits(self, z: Tensor) -> Tensor:
        """Bits of z (B, Z, h, w): (B,)."""
        return logistic_bits(z.permute(0, 2, 3, 1), self.z_mean, self.z_log_scale).sum((1, 2, 3))
