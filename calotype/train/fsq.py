"""Losses and validation of a model of few indices (models/fsq): squared error, SqueezeNet's distance, and bits.

Colours have a weight of their own: RGB's squared error is nearly all brightness, and a run without it coded greens as browns.

A sample of a step has a number of channels of its own, drawn evenly from the dial; the price of bits rises from zero over
`ramp` of the budget, so that the nets find what indices are good for before they are told to save them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..models.fsq.config import FEWEST
from ..models.perceptual import distance
from .data import Seen
from .fsqrates import FsqTrained
from .recipes import FsqRecipe

VALIDATION_DIALS = (0, 333, 667, 1000)
SCALARS = ("loss", "bpp", "error", "distance")  # error: squared, of pixels in [0, 1]


class FsqTask:
    """How a run trains on photos (`tasks.Task`)."""

    scalars = SCALARS

    def __init__(self, recipe: FsqRecipe, data: Seen, device: str, rank: int, world: int):
        self.recipe, self.photos, self.device, self.rank, self.world = recipe, data.photos, device, rank, world
        self.config = recipe.config()
        self.features = data.features.to(device)
        self.crops = data.photos.validation(recipe.late_crop).to(device)

    def start(self, model: FsqTrained) -> None:
        """It starts from random weights."""

    def initial(self, source: Path | str) -> tuple[Any, dict[str, Tensor]]:
        from .initial import initial_fsq_weights

        return initial_fsq_weights(source)

    def whole(self, step: int) -> bool:
        return True

    def loss(self, forward: Callable, step: int, progress: float) -> tuple[Tensor, Tensor]:
        recipe = self.recipe
        size, crop = recipe.stage(progress)
        x, dial = self.photos.batch(recipe.seed, step, size, crop)
        count = torch.tensor([self.config.counted(float(d)) for d in dial])
        x, count = (v[self.rank :: self.world].to(self.device) for v in (x, count))
        x = x.contiguous(memory_format=torch.channels_last)
        with torch.autocast(x.device.type, torch.bfloat16, enabled=recipe.bfloat16 or forward.amp):
            made, bits = forward(x, count)
            made = made.float()
            judged = max(1, round(recipe.judged * len(x)))
            seen = self.features(made[:judged])
            with torch.no_grad():
                real = self.features(x[:judged])
        far, bpp = distance(seen, real), bits / math.prod(x.shape[2:])
        off = made - x
        error, colour = off.square().mean((1, 2, 3)), (off - off.mean(1, keepdim=True)).square().mean((1, 2, 3))
        price = self.price(count) * min(1.0, progress / recipe.ramp if recipe.ramp else 1.0)
        total = (recipe.error * (error + recipe.colour * colour) + price * bpp).mean() + recipe.perceptual * far.mean()
        return total, torch.stack((total, bpp.mean(), error.mean(), far.mean())).detach()

    def price(self, count: Tensor) -> Tensor:
        """Weight of a bit a pixel where so many channels are coded: at low rates a bit is worth more."""
        share = (count - FEWEST) / max(self.config.channels - FEWEST, 1)
        return self.recipe.rate ** (1 - share) * self.recipe.rate_top**share

    @torch.no_grad()
    def validate(self, model: FsqTrained) -> list[dict[str, float]]:
        """On held-out crops, means: "bpp" (as training sees it), "psnr", "distance"; "cost": the loss."""
        points = []
        for dial in VALIDATION_DIALS:
            rows = [self._row(model, x, self.config.counted(dial)) for x in self.crops.split(6)]
            bpp, db, error, far = torch.cat(rows, 1).mean(1).tolist()
            price = float(self.price(torch.tensor(self.config.counted(dial))))
            cost = self.recipe.error * error + self.recipe.perceptual * far + price * bpp
            values = {"bpp": bpp, "psnr": db, "distance": far, "cost": cost}
            points.append({"quality": dial} | {k: round(v, 5) for k, v in values.items()})
        return points

    def _row(self, model: FsqTrained, x: Tensor, count: int) -> Tensor:
        made, bits = model(x, torch.full((len(x),), count, device=x.device))
        made = made.clamp(0, 1)
        error = (made - x).square().mean((1, 2, 3))
        far = distance(self.features(made), self.features(x))
        return torch.stack((bits / math.prod(x.shape[2:]), 10 * torch.log10(1 / error), error, far))
