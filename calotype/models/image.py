"""The image model: one net for all rates, everything on a 1/8 grid, one latent at 1/16.

Plan of DCVC-RT / DCVC-UF intra (Jia et al. 2025, arXiv 2502.20762): pixel_unshuffle(8), depthwise-separable blocks,
a quality vector at each end of each trunk, a hyperprior and a four-step context. What differs: both transforms are
residuals around a lapped KLT (`lapped.py`), so that training starts from a working transform codec, and the prior is exact
in integers (`prior.py`, `integer/`), as is the synthesis once it is trained.

    x (B, 3, H, W) --border filter, unshuffle--> u (B, 192, H/8, W/8) --u + trunk(u)--> KLT, gain --> y (B, M, H/16, W/16)
    y_hat --1/gain, KLT transposed--> v (B, 192, H/8, W/8) --v + trunk(v)--> shuffle, border filter --> x_hat
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .fakequant import quantise_weight, round_ste
from .imageconfig import CELL, LMBDA, QUALITY_MAX, ImageConfig
from .lapped import BLOCK, filter_borders, prefilter
from .prior import Prior
from .priorgraph import KNOTS, LEVELS, LEVELS_PER_OCTAVE, SIGMA_MIN, Z_MAX

TEMPERATURE = 0.3  # of the relaxed rounding in the rate's gradient
DEAD_ZONE = 0.6  # of training; encoders choose 0.5 to 0.9 by scale and rate


def knot_weights(quality: Tensor) -> Tensor:
    """quality (B,) in 0..1000 -> (B, KNOTS) linear interpolation weights."""
    knots = torch.arange(KNOTS, device=quality.device, dtype=torch.float32)
    return (1 - (quality.float()[:, None] * ((KNOTS - 1) / QUALITY_MAX) - knots).abs()).clamp_min(0)


def modulate(x: Tensor, weights: Tensor, log: Tensor) -> Tensor:
    """x (B, C, h, w) times exp(log) (KNOTS, C) at the quality of `weights`: (B, KNOTS), or (B, KNOTS, h', w') for one that
    varies over the picture, h a multiple of h'."""
    if weights.dim() == 2:
        return x * torch.exp(weights @ log)[:, :, None, None]
    gain = torch.exp(torch.einsum("bkhw,kc->bchw", weights, log))
    times = x.shape[2] // gain.shape[2]
    return x * gain.repeat_interleave(times, 2).repeat_interleave(times, 3)


def quality_lmbda(quality: Tensor) -> Tensor:
    """quality (B,) in 0..1000 -> lmbda (B,)."""
    lo, hi = (math.log(v) for v in LMBDA)
    return torch.exp(lo + (hi - lo) / QUALITY_MAX * quality)


def leaky_relu(x: Tensor) -> Tensor:
    """Leaky ReLU of slope 1/8, in place."""
    return F.leaky_relu(x, 0.125, inplace=True)


def wsilu(x: Tensor) -> Tensor:
    """x * sigmoid(4 x): the activation of DCVC-RT's blocks (Jia et al. 2025, arXiv 2502.20762)."""
    return 0.25 * F.silu(4 * x)


class Block(nn.Module):
    """x + 1x1(act(1x1(dw3x3(x)))) at constant width."""

    def __init__(self, width: int, grow: int = 2, activation: str = "leaky"):
        super().__init__()
        self.act = wsilu if activation == "wsilu" else leaky_relu
        self.depthwise = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.grow = nn.Conv2d(width, grow * width, 1)
        self.shrink = nn.Conv2d(grow * width, width, 1)
        nn.init.normal_(self.shrink.weight, std=0.3 / (grow * width) ** 0.5)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, C, h, w)."""
        return self.shrink(self.act(self.grow(self.depthwise(x)))).add_(x)


class Trunk(nn.Module):
    """A residual on the 192 channels of the 1/8 grid, modulated by quality at both ends; starts at zero."""

    def __init__(self, width: int, blocks: int, activation: str = "leaky"):
        super().__init__()
        self.enter = nn.Conv2d(3 * CELL * CELL, width, 1)
        self.blocks = nn.Sequential(*(Block(width, activation=activation) for _ in range(blocks)))
        self.leave = nn.Conv2d(width, 3 * CELL * CELL, 1)
        nn.init.normal_(self.enter.weight, std=4 / (3 * CELL * CELL) ** 0.5)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)
        self.log_enter = nn.Parameter(torch.zeros(KNOTS, width))
        self.log_leave = nn.Parameter(torch.zeros(KNOTS, width))

    def forward(self, u: Tensor, weights: Tensor) -> Tensor:
        """u (B, 192, h, w), weights as in `modulate` -> (B, 192, h, w)."""
        x = modulate(self.enter(u), weights, self.log_enter)
        return self.leave(modulate(self.blocks(x), weights, self.log_leave))


def hyper_analysis(latents: int, hidden: int, side: int) -> nn.Sequential:
    """The net of `side_latents`: (B, 2 M, h, w) -> (B, Z, h/4, w/4)."""
    return nn.Sequential(
        nn.Conv2d(2 * latents, hidden, 1),
        nn.LeakyReLU(0.125),
        nn.PixelUnshuffle(2),
        nn.Conv2d(4 * hidden, hidden, 1),
        Block(hidden),
        nn.PixelUnshuffle(2),
        nn.Conv2d(4 * hidden, hidden, 1),
        Block(hidden),
        nn.Conv2d(hidden, side, 1),
    )


def side_latents(hyper: nn.Module, y: Tensor, weights: Tensor, log_gain: Tensor) -> Tensor:
    """y (B, M, h, w), weights as in `modulate`, log_gain (KNOTS, Z) -> unrounded z (B, Z, ceil(h/4), ceil(w/4))."""
    h, w = y.shape[2:]
    log = torch.log2(1 + y.abs())
    x = torch.cat((torch.copysign(log, y), log), 1)
    if h % 4 or w % 4:
        x = F.pad(x, (0, -w % 4, 0, -h % 4), mode="replicate")
    return modulate(hyper(x), weights, log_gain).clamp(-Z_MAX, Z_MAX)


class ImageModel(nn.Module):
    """Analysis and synthesis transforms, hyper analysis and prior."""

    def __init__(self, config: ImageConfig):
        super().__init__()
        self.config = config
        m, side, hidden = config.latents, config.side, config.hidden
        self.pre = nn.Parameter(prefilter())
        self.post = nn.Parameter(prefilter().T.contiguous())
        self.analysis = Trunk(config.width, config.analysis_blocks, config.activation)
        self.synthesis = Trunk(config.width, config.synthesis_blocks, config.activation)
        self.to_latent = nn.Conv2d(768, m, 1, bias=False)
        self.from_latent = nn.Conv2d(m, 768, 1, bias=False)
        nn.init.orthogonal_(self.to_latent.weight)
        self.from_latent.weight.data = self.to_latent.weight.data.transpose(0, 1).clone()
        # at high rate the best uniform step of an orthonormal codec is sqrt(18 / (ln 2 lmbda)) on pixels 0..255
        # (D = step^2 / 12, 6 dB a bit); pixels here are 0..1
        step = torch.sqrt(18 / (math.log(2) * quality_lmbda(torch.linspace(0, QUALITY_MAX, KNOTS)))) / 255
        self.log_gain = nn.Parameter(-torch.log(step)[:, None].repeat(1, m))
        self.log_inverse_gain = nn.Parameter(torch.log(step)[:, None].repeat(1, m))
        self.prior = Prior(config.of_prior)
        self.hyper = hyper_analysis(m, hidden, side)
        self.log_z_gain = nn.Parameter(torch.full((KNOTS, side), math.log(2.0)))
        self.z_mean = nn.Parameter(torch.zeros(side))
        self.z_log_scale = nn.Parameter(torch.zeros(side))
        self.integer_weights = False  # whether the synthesis sees the 7-bit weights that it will be executed with
        self.amp = False  # trunks in bfloat16 (CUDA training); all else stays float32

    def start_from_klt(self, basis: Tensor, variance: Tensor) -> None:
        """Start the transforms as the lapped KLT (`lapped.klt`), and each scale at that coefficient's deviation."""
        self.to_latent.weight.data.copy_(basis[:, :, None, None])
        self.from_latent.weight.data.copy_(basis.T[:, :, None, None])
        sigma = torch.sqrt(variance) * torch.exp(self.log_gain.data)  # (KNOTS, M), in steps
        index = (
            LEVELS_PER_OCTAVE * torch.log2(sigma / SIGMA_MIN) - LEVELS_PER_OCTAVE
        )  # typical, not rms: an octave less
        self.prior.start_scales(index.clamp(0, LEVELS - 1))

    def residual(self, trunk: Callable[[Tensor, Tensor], Tensor], u: Tensor, weights: Tensor) -> Tensor:
        """trunk(u), in bfloat16 where `amp` says so. What it is added to is not: 8 bits are too few for a strong latent's
        200 steps, or for pixels (at quality 95, all of it in bfloat16, a crop's squared error was 3.6 % higher)."""
        with torch.autocast(u.device.type, torch.bfloat16, enabled=self.amp):
            return trunk(u, weights).to(u.dtype)

    def analyse(self, x: Tensor, weights: Tensor) -> Tensor:
        """x (B, 3, H, W) in [0, 1], H and W multiples of 16; weights as in `modulate` -> y (B, M, H/16, W/16) in steps."""
        u = F.pixel_unshuffle(filter_borders(x - 0.5, self.pre), CELL)
        y = self.to_latent(F.pixel_unshuffle(u + self.residual(self.analysis, u, weights), BLOCK // CELL))
        return modulate(y, weights, self.log_gain)

    def synthesise(self, y_hat: Tensor, weights: Tensor) -> Tensor:
        """y_hat (B, M, h, w) in steps -> x_hat (B, 3, 16 h, 16 w), not clipped."""
        y_hat = modulate(y_hat, weights, self.log_inverse_gain)
        v = F.pixel_shuffle(self.from_latent(y_hat), BLOCK // CELL)
        trunk = rounded_blocks(self.synthesis) if self.integer_weights else self.synthesis
        return filter_borders(F.pixel_shuffle(v + self.residual(trunk, v, weights), CELL), self.post) + 0.5

    def side(self, y: Tensor, weights: Tensor) -> Tensor:
        """y (B, M, h, w) -> unrounded z (B, Z, ceil(h/4), ceil(w/4))."""
        return side_latents(self.hyper, y, weights, self.log_z_gain)

    def rate(self, x: Tensor, quality: Tensor, hard: bool = False) -> tuple[Tensor, Tensor, Tensor]:
        """First half of a training pass: x (B, 3, H, W) in [0, 1], H and W multiples of 32; quality (B,) in 0..1000.

        Symbols are rounded with a fixed dead zone or, `hard`, with the encoder's. The rate's value is that of the symbols;
        the prior's scales learn from it, while latents and means get the gradient of a relaxation (`soft_noise`), which
        reaches below the next integer. Returns y_hat (B, M, h, w), bits of y (B,), bits of z (B,).
        """
        weights = knot_weights(quality)
        y = self.analyse(x, weights)
        z = self.side(y, weights).permute(0, 2, 3, 1)
        z_hat = round_ste(z)
        y = y.permute(0, 2, 3, 1)
        mean, index, y_hat = self.prior(y, z_hat, weights, quantise_hard if hard else quantise_fixed)
        y_bits = symbol_bits((y_hat - mean).detach().round(), index)
        if not hard:
            relaxed = symbol_bits(soft_noise(y - mean), index.detach())
            y_bits = y_bits + (relaxed - relaxed.detach())
        z_noisy = z_hat if hard else z + (torch.rand_like(z) - 0.5)
        z_bits = logistic_bits(z_noisy, self.z_mean, self.z_log_scale).sum((1, 2, 3))
        return y_hat.permute(0, 3, 1, 2), y_bits.sum((1, 2, 3)), z_bits

    def forward(self, x: Tensor, quality: Tensor, hard: bool = False) -> tuple[Tensor, Tensor, Tensor]:
        """Training pass, arguments as `rate`. Returns x_hat (B, 3, H, W), bits of y (B,), bits of z (B,)."""
        y_hat, y_bits, z_bits = self.rate(x, quality, hard)
        return self.synthesise(y_hat, knot_weights(quality)), y_bits, z_bits


def rounded_blocks(trunk: nn.Module) -> Callable[..., Tensor]:
    """A trunk with the weights of its blocks on the grid of int8 execution, straight-through gradients."""
    blocks = {
        name: quantise_weight(p.flatten(1)).view_as(p)
        for name, p in trunk.named_parameters()
        if name.startswith("blocks.") and name.endswith(".weight")
    }
    return lambda *arguments: torch.func.functional_call(trunk, blocks, arguments)


def soft_round(x: Tensor) -> Tensor:
    """Differentiable rounding at TEMPERATURE (Agustsson and Theis 2020, arXiv 2006.09952)."""
    middle = torch.floor(x) + 0.5
    return middle + torch.tanh((x - middle) / TEMPERATURE) * (0.5 / math.tanh(0.5 / TEMPERATURE))


def soft_noise(x: Tensor) -> Tensor:
    """soft_round(soft_round(x) + U(-1/2, 1/2)): a relaxation of rounding whose rate is near that of the symbols.

    Plain noise charges every latent that always rounds to 0 for the noise alone: with 320 channels more than half of the
    rate at low quality (docs/experiments).
    """
    return soft_round(soft_round(x) + (torch.rand_like(x) - 0.5))


def scale_of(index: Tensor) -> Tensor:
    """Continuous scale index -> sigma in steps; the gradient at the ends only lets the index come back."""
    bounded = (
        index + (index.detach().clamp(0, LEVELS - 1) - index.detach())
        if index.requires_grad
        else index.clamp(0, LEVELS - 1)
    )
    return SIGMA_MIN * torch.exp2(bounded / LEVELS_PER_OCTAVE)


def symbol_bits(residual: Tensor, index: Tensor) -> Tensor:
    """Bits of a symbol (or a noisy one) of that scale index, per element: nine parts N(0, s^2), one part N(0, 4 s^2).

    Residuals have heavier tails than a Gaussian; this mixture takes half of what a Gaussian loses to tables of counts,
    and `train.export` takes the other half by freezing those tables.
    """
    v, scale = residual.abs(), scale_of(index) * math.sqrt(2)
    p = 0.0
    for share, spread in ((0.9, 1.0), (0.1, 2.0)):
        p = p + 0.5 * share * (torch.erfc((v - 0.5) / (spread * scale)) - torch.erfc((v + 0.5) / (spread * scale)))
    return -torch.log2(p.clamp_min(1e-9))


def logistic_bits(z: Tensor, mean: Tensor, log_scale: Tensor) -> Tensor:
    """Bits of z (..., Z) under one discretised logistic per channel."""
    v, s = (z - mean).abs(), torch.exp(-log_scale)
    p = torch.sigmoid((0.5 - v) * s) - torch.sigmoid((-0.5 - v) * s)
    return -torch.log2(p.clamp_min(1e-9))


def dead_zone(index: Tensor) -> Tensor:
    """Rounding offset per scale index: a symbol moves towards zero when its bits are worth more than its error.

    Rate-distortion optimal choice between 0 and 1 for a Gaussian of that scale, with the exchange rate of the high-rate
    limit (2 ln 2 / 12 squared steps a bit). Returns the magnitude below which a symbol is 0, in (0.5, 0.9].
    """
    one = torch.ones_like(index)
    gap = symbol_bits(one, index) - symbol_bits(torch.zeros_like(index), index)
    return (0.5 + 0.5 * (2 * math.log(2) / 12) * gap).clamp(0.5, 0.9)


def quantise_fixed(y: Tensor, mean: Tensor, index: Tensor) -> Tensor:
    """y_hat of training: rounding with one dead zone for all, so that no scale can move it.

    The gradient goes straight through to y and, where nothing was sent and y_hat is the mean, to the mean as well.
    """
    with torch.no_grad():
        residual = y - mean
        symbol = residual.round() * (residual.abs() >= DEAD_ZONE)
        decoded = mean + symbol - y
    return y + decoded + (mean - mean.detach()) * (symbol == 0)


def quantise_hard(y: Tensor, mean: Tensor, index: Tensor) -> Tensor:
    """y_hat of an encoder without rate-distortion optimised rounding (`dead_zone`), for validation and tables."""
    residual = y - mean
    return mean + residual.round() * (residual.abs() >= dead_zone(index))
