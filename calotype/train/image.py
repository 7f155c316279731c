"""Recipe, loss and validation for the image model."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..models.image import LMBDA, ImageConfig, ImageModel, quality_lmbda
from ..models.lapped import klt
from .data import Photos

VALIDATION_QUALITIES = (50, 250, 500, 750, 950)


@dataclass(frozen=True)
class ImageRecipe:
    """One training run of the image model. Every field is an option of `calotype train image`."""

    width: int = 96  # channels of the trunks: the size dial
    synthesis_blocks: int = 6
    analysis_blocks: int = 3
    latents: int = 320
    hidden: int = 128
    steps: int = 30_000  # the learning rate reaches zero here
    batch: int = 8
    crop: int = 128
    late_crop: int = 256  # crop and batch of the last `late` part of the run
    late_batch: int = 4
    late: float = 0.2
    lr: float = 2e-3  # AdamW
    muon_lr: float = 0.015
    warmup: int = 200
    clip: float = 2.0
    ema: float = 0.999
    rate_balance: float = 0.5  # loss of a sample is scaled by lmbda ** -rate_balance, so that all rates pull alike
    seed: int = 0

    def model(self) -> ImageModel:
        """A freshly initialised model of these sizes."""
        return ImageModel(
            ImageConfig(self.width, self.analysis_blocks, self.synthesis_blocks, self.latents, hidden=self.hidden)
        )

    def stage(self, step: int) -> tuple[int, int]:
        """(batch, crop) at `step`."""
        late = step >= self.steps * (1 - self.late)
        return (self.late_batch, self.late_crop) if late else (self.batch, self.crop)

    def lr_factor(self, step: int) -> float:
        """Linear warm-up, then linear to zero at the last step."""
        return min((step + 1) / self.warmup, 1.0) * max(0.0, 1 - step / self.steps)


def start(model: ImageModel, photos: Photos, seed: int) -> None:
    """Start the transforms as the lapped KLT of 2048 training crops."""
    crops = torch.cat([photos.batch(seed + 1, k, 256, 128)[0].cpu() for k in range(8)])
    model.start_from_klt(*klt(crops, model.config.latents))


def loss(
    model: ImageModel, recipe: ImageRecipe, x: Tensor, quality: Tensor
) -> tuple[Tensor, dict[str, float]]:
    """Rate (bits per pixel) + lmbda * MSE (0..255), each sample scaled by lmbda ** -rate_balance, averaged."""
    pixels = x.shape[2] * x.shape[3]
    lmbda = quality_lmbda(quality)
    x_hat, y_bits, z_bits = model(x, quality)
    mse = (x_hat - x).square().mean((1, 2, 3)) * 255**2
    bpp = (y_bits + z_bits) / pixels
    weight = (lmbda / math.sqrt(LMBDA[0] * LMBDA[1])) ** -recipe.rate_balance
    total = (weight * (bpp + lmbda * mse)).mean()
    return total, {"loss": total.item(), "bpp": bpp.mean().item(), "z": (z_bits.mean() / y_bits.mean()).item()}


@torch.no_grad()
def validate(model: ImageModel, crops: Tensor) -> list[dict[str, float]]:
    """Rate-distortion points on held-out crops (N, 3, S, S): estimated bpp, mean PSNR-RGB of clipped 8-bit pixels."""
    points = []
    for q in VALIDATION_QUALITIES:
        bits, db, cost = [], [], []
        for x in crops.split(6):
            quality = torch.full((len(x),), float(q), device=x.device)
            x_hat, y_bits, z_bits = model(x, quality, hard=True)
            mse = ((x_hat.clamp(0, 1) * 255).round() - x * 255).square().mean((1, 2, 3)).clamp_min(0.05)
            bits.append((y_bits + z_bits) / (x.shape[2] * x.shape[3]))
            db.append(10 * torch.log10(255**2 / mse))
            cost.append(bits[-1] + quality_lmbda(quality) * mse)
        mean = [torch.cat(v).mean().item() for v in (bits, db, cost)]
        points.append({"quality": q, "bpp": round(mean[0], 4), "psnr": round(mean[1], 3), "cost": round(mean[2], 5)})
    return points
