"""Start, loss and validation of the image model."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import UsageError
from ..models.generative.dial import SCALES, highest
from ..models.generative.net import enlarged, shrink
from ..models.image import LMBDA, ImageModel, knot_weights, quality_lmbda
from ..models.imageconfig import QUALITY_MAX
from ..models.lapped import klt
from ..models.perceptual import SqueezeNet, distance
from .data import Photos, Seen
from .recipes import ImageRecipe

VALIDATION_QUALITIES = (50, 250, 500, 750, 950)
SHRUNK_QUALITIES = (50, 100)  # where photos are coded at half or a third of their size
SCALARS = ("loss", "bpp", "z")  # what `loss` says of a step; z: bits of the side latent as a share of the latent's
START_CROP = 128
START_BATCHES = 8  # of 256 crops
SEEN = 1.5  # sides of a crop: of an enlarged one the middle this large is what the features see


class ImageTask:
    """How a run trains an image model on photos (`tasks.Task`)."""

    scalars = SCALARS

    def __init__(self, recipe: ImageRecipe, data: Photos | Seen, device: str, rank: int, world: int):
        """data: with a net that sees where the recipe weighs what it sees."""
        self.recipe, self.device, self.rank, self.world = recipe, device, rank, world
        self.features = data.features.to(device) if isinstance(data, Seen) else None
        photos = self.photos = data.photos if isinstance(data, Seen) else data
        if recipe.perceptual and self.features is None:
            raise UsageError("a recipe that weighs SqueezeNet's distance needs its weights: give --features")
        side = max(recipe.crop, recipe.late_crop)
        self.crops = photos.validation(side).to(device)
        scales = range(2, SCALES + 1) if recipe.shrunk else ()
        self.shrunk = {scale: photos.validation(side * scale, per_photo=1).to(device) for scale in scales}

    def start(self, model: ImageModel) -> None:
        start(model, self.photos, self.recipe)

    def initial(self, source: Path | str) -> tuple[Any, dict[str, Tensor]]:
        from .initial import initial_weights

        return initial_weights(source)

    def whole(self, step: int) -> bool:
        return True

    def loss(self, forward: Callable, step: int, progress: float) -> tuple[Tensor, Tensor]:
        batch, crop = self.recipe.stage(progress)
        scale = self.scale(step)
        x, quality = self.photos.batch(self.recipe.seed, step, batch, crop * scale)
        x, quality = (v[self.rank :: self.world].to(self.device) for v in (x, quality))
        top = self.recipe.top if scale == 1 else highest(scale)
        return loss(forward, self.recipe, x, quality * top / QUALITY_MAX, self.features, scale)

    def scale(self, step: int) -> int:
        """By how much the photos of that step are made smaller: all of them, so that they are one tensor."""
        drawn = np.random.default_rng((self.recipe.seed, step, 2)).random()
        return 1 if drawn >= self.recipe.shrunk else 2 + int(drawn / self.recipe.shrunk * (SCALES - 1))

    def validate(self, model: ImageModel) -> list[dict[str, float]]:
        return validate(model, self.crops, self.features) + [
            point | {"scale": scale}
            for scale, crops in self.shrunk.items()
            for point in validate(model, crops, self.features, scale, SHRUNK_QUALITIES)
        ]


@torch.no_grad()
def start(model: ImageModel, photos: Photos, recipe: ImageRecipe) -> None:
    """Start the transforms as the lapped KLT of 2048 training crops, or as the random orthonormal ones that they are.

    Scales start at the deviation of each coefficient in these crops in both cases.
    """
    crops = torch.cat([photos.batch(recipe.seed + 1, k, 256, START_CROP)[0].cpu() for k in range(START_BATCHES)])
    if recipe.start == "klt":
        model.start_from_klt(*klt(crops, model.config.latents))
        return
    weights = knot_weights(torch.zeros(1))
    squares = [model.analyse(part, weights).square().mean((0, 2, 3)) for part in crops.split(256)]
    variance = torch.stack(squares).mean(0) * torch.exp(-2 * model.log_gain[0])
    model.start_from_klt(model.to_latent.weight[:, :, 0, 0].clone(), variance)


def loss(
    model: ImageModel,
    recipe: ImageRecipe,
    x: Tensor,
    quality: Tensor,
    features: SqueezeNet | None = None,
    scale: int = 1,
) -> tuple[Tensor, Tensor]:
    """Rate (bits per pixel) + lmbda * MSE (0..255), each sample scaled by lmbda ** -rate_balance, averaged; with `features` and
    where the recipe says so less of the MSE, and their distance.

    x (B, 3, scale S, scale S) in [0, 1], quality (B,) in 0..1000. At a scale the model codes x made smaller: rate and squared
    error are that picture's, the distance is that of the picture enlarged again (the middle of it) from x. Returns the loss
    and, without gradient, SCALARS as one tensor: they stay on the device until somebody wants to read them.
    """
    large, x = x, shrink(x, scale)
    pixels = x.shape[2] * x.shape[3]
    lmbda = quality_lmbda(quality)
    x_hat, y_bits, z_bits = model(x, quality)
    mse = (x_hat - x).square().mean((1, 2, 3)) * 255**2
    bpp = (y_bits + z_bits) / pixels
    weight = (lmbda / math.sqrt(LMBDA[0] * LMBDA[1])) ** -recipe.rate_balance
    cost = bpp + recipe.squared * lmbda * mse
    if features is not None and recipe.perceptual:
        with torch.no_grad():
            real = features(_middle(large, scale))
        cost = cost + recipe.perceptual * distance(features(_middle(enlarged(x_hat, scale), scale)), real)
    total = (weight * cost).mean()
    return total, torch.stack((total, bpp.mean(), z_bits.mean() / y_bits.mean())).detach()


def _middle(x: Tensor, scale: int) -> Tensor:
    """x (B, 3, scale S, scale S), at a scale its middle of SEEN S pixels a side."""
    side = x.shape[2] if scale == 1 else int(SEEN * x.shape[2] / scale)
    start = (x.shape[2] - side) // 2
    return x[:, :, start : start + side, start : start + side]


@torch.no_grad()
def validate(
    model: ImageModel,
    crops: Tensor,
    features: SqueezeNet | None = None,
    scale: int = 1,
    qualities: tuple[int, ...] = VALIDATION_QUALITIES,
) -> list[dict[str, float]]:
    """Rate-distortion points on held-out crops (N, 3, scale S, scale S): estimated bits a pixel of what is coded, mean PSNR-RGB
    of clipped 8-bit pixels; the mean distance, of the picture enlarged, where there are `features`."""
    points = []
    for q in qualities:
        bits, db, cost, far = [], [], [], []
        for large in crops.split(6):
            x = shrink(large, scale)
            quality = torch.full((len(x),), float(q), device=x.device)
            x_hat, y_bits, z_bits = model(x, quality, hard=True)
            shown = (x_hat.clamp(0, 1) * 255).round()
            mse = (shown - x * 255).square().mean((1, 2, 3)).clamp_min(0.05)
            if features is not None:
                far.append(distance(features(enlarged(shown / 255, scale)), features(large)))
            bits.append((y_bits + z_bits) / (x.shape[2] * x.shape[3]))
            db.append(10 * torch.log10(255**2 / mse))
            cost.append(bits[-1] + quality_lmbda(quality) * mse)
        mean = [torch.cat(v).mean().item() for v in (bits, db, cost)]
        points.append({"quality": q, "bpp": round(mean[0], 4), "psnr": round(mean[1], 3), "cost": round(mean[2], 5)})
        if far:
            points[-1]["distance"] = round(torch.cat(far).mean().item(), 4)
    return points
