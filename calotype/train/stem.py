"""Pairs of frames, loss and validation of a stem prior (`models.stem`): bits of latents given those of the frame before.

Only the prior learns: the image model makes latents and side latents, without a gradient, and codes the first frame of a pair.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..models.image import knot_weights, logistic_bits, quality_lmbda, quantise_fixed, quantise_hard, soft_noise, symbol_bits
from ..models.imageconfig import LMBDA, QUALITY_MAX
from ..models.prior import Prior, Quantise
from ..models.stem import start_stem
from ..models.zoo import find_model
from .clips import Clips, Planes
from .colour import to_rgb
from .recipes import StemRecipe
from .video import JITTER, VALIDATION_CROP, VALIDATION_QUALITIES


class Pair(NamedTuple):
    """What a stem prior is given of B frames, NHWC: y (B, h, w, M) in steps, rounded z, past: y_hat of the frame before, knot
    weights (B, KNOTS)."""

    y: Tensor
    z: Tensor
    past: Tensor
    weights: Tensor


class Symbols(NamedTuple):
    """Of coded latents, (B, h, w, M) each: mean, continuous scale index, y_hat."""

    mean: Tensor
    index: Tensor
    y_hat: Tensor

    @property
    def bits(self) -> Tensor:
        """Bits of each latent; their gradient is the scale's alone."""
        return symbol_bits((self.y_hat - self.mean).detach().round(), self.index)


def coded(prior: Callable, pair: Pair, quantise: Quantise = quantise_hard) -> Symbols:
    """The latents of a pair's second frame by a stem prior."""
    y, z, past, weights = pair
    given = y.new_zeros(*y.shape[:3], prior.config.hidden)
    return Symbols(*prior(y, z, weights, quantise, (given, past)))


class Still:
    """The image model as the codec codes with it, frozen; symbols rounded as by an encoder that does not optimise them."""

    def __init__(self, name: str, device: str):
        from ..models.bundle import ImageBundle
        from ..models.integer.convertprior import float_prior

        self.bundle = ImageBundle.read(find_model(name), device)
        self.device, self.model, self.prior = device, self.bundle.model, float_prior(self.bundle.prior).to(device)

    @torch.no_grad()
    def latents(self, planes: Planes, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Planes of B pictures (sides multiples of 32) -> y (B, h, w, M) in steps and rounded z (B, h/4, w/4, Z)."""
        return self.of_pixels(to_rgb(planes).to(self.device).float() / 255, weights)

    @torch.no_grad()
    def of_pixels(self, x: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        """The same of x (B, 3, H, W) in [0, 1]."""
        y = self.model.analyse(x, weights)
        z = self.model.side(y, weights).round()
        return y.permute(0, 2, 3, 1).contiguous(), z.permute(0, 2, 3, 1).contiguous()

    @torch.no_grad()
    def coded(self, y: Tensor, z: Tensor, weights: Tensor) -> Symbols:
        """Latents as they are coded without a frame before."""
        return Symbols(*self.prior(y, z, weights, quantise_hard))

    @torch.no_grad()
    def decoded(self, x: Tensor, quality: Tensor) -> tuple[Tensor, Tensor]:
        """x (B, 3, H, W) in [0, 1], quality (B,) in 0..1000 -> pictures in 8-bit levels, in [0, 1], and bits (B,)."""
        weights = knot_weights(quality)
        y, z = self.of_pixels(x, weights)
        found = self.coded(y, z, weights)
        x_hat = self.model.synthesise(found.y_hat.permute(0, 3, 1, 2), weights)
        z_bits = logistic_bits(z, self.model.z_mean, self.model.z_log_scale).sum((1, 2, 3))
        return (x_hat.clamp(0, 1) * 255).round() / 255, found.bits.sum((1, 2, 3)) + z_bits

    @torch.no_grad()
    def pair(self, frames: Planes, qualities: tuple[Tensor, Tensor]) -> Pair:
        """frames (B, 2, ...) in order of time, qualities (B,) in 0..1000 of each."""
        before, weights = (knot_weights(q.to(self.device)) for q in qualities)
        past = self.coded(*self.latents(tuple(p[:, 0] for p in frames), before), before).y_hat
        return Pair(*self.latents(tuple(p[:, 1] for p in frames), weights), past, weights)


class StemTask:
    """How a run trains a stem prior on clips (`tasks.Task`)."""

    scalars = ("loss", "bpp")

    def __init__(self, recipe: StemRecipe, clips: Clips, device: str, rank: int, world: int):
        self.recipe, self.clips, self.device, self.rank, self.world = recipe, clips, device, rank, world
        self.still = Still(recipe.image, device)
        self.held_out = clips.validation(2, VALIDATION_CROP)

    def start(self, model: Prior) -> None:
        """Start as the image model's prior."""
        start_stem(model, self.still.bundle)

    def initial(self, source: Path | str) -> tuple[Any, dict[str, Tensor]]:
        from .initial import initial_stem_weights

        return initial_stem_weights(source)

    def sample(self, number: int, batch: int, crop: int) -> tuple[Pair, Tensor]:
        """This process's share of a batch of pairs, and their qualities (B,), stratified; frames before have nearly these."""
        recipe = self.recipe
        mine = range(self.rank, batch, self.world)
        samples = [self.clips.chain(recipe.seed, number, k, 2, crop, recipe.real) for k in mine]
        rng = np.random.default_rng((recipe.seed, number))
        quality = (rng.permutation(batch) + rng.random(batch)) / batch * QUALITY_MAX
        before = (quality + rng.uniform(-JITTER, JITTER, batch)).clip(0, QUALITY_MAX)
        first, second = (torch.from_numpy(q[self.rank :: self.world].copy()).float() for q in (before, quality))
        y, u, v = (torch.stack(p) for p in zip(*samples, strict=True))
        return self.still.pair((y, u, v), (first, second)), second.to(self.device)

    def whole(self, step: int) -> bool:
        return True

    def loss(self, forward: Callable, step: int, progress: float) -> tuple[Tensor, Tensor]:
        """Bits per pixel of y, each sample scaled as in the image model's loss; means learn from a relaxation, as there."""
        batch, crop = self.recipe.stage(progress)
        pair, quality = self.sample(step, batch, crop)
        found = coded(forward, pair, quantise_fixed)
        relaxed = symbol_bits(soft_noise(pair.y - found.mean), found.index.detach())
        bpp = (found.bits + (relaxed - relaxed.detach())).sum((1, 2, 3)) / crop**2
        weight = (quality_lmbda(quality) / (LMBDA[0] * LMBDA[1]) ** 0.5) ** -self.recipe.rate_balance
        total = (weight * bpp).mean()
        return total, torch.stack((total, bpp.mean())).detach()

    @torch.no_grad()
    def validate(self, model: Prior) -> list[dict[str, float]]:
        """On pairs of held-out clips, both frames at one quality: "bpp" with this prior, "plain" with the image model's; z
        included. The PSNR (RGB) is of the frames as coded with this prior."""
        still, points = self.still, []
        frames = tuple(torch.stack(p) for p in zip(*self.held_out, strict=True))
        for q in VALIDATION_QUALITIES:
            quality = torch.full((len(self.held_out),), float(q), device=self.device)
            pair = still.pair(frames, (quality, quality))
            found, plain = coded(model, pair), still.coded(pair.y, pair.z, pair.weights)
            z_bits = logistic_bits(pair.z, still.model.z_mean, still.model.z_log_scale).sum()
            bpp, alone = ((s.bits.sum() + z_bits).item() / (len(quality) * VALIDATION_CROP**2) for s in (found, plain))
            x_hat = (still.model.synthesise(found.y_hat.permute(0, 3, 1, 2), pair.weights) * 255).round().clamp(0, 255)
            x = to_rgb(tuple(p[:, 1] for p in frames)).to(self.device)
            square = (x_hat - x).square().mean((1, 2, 3))
            db = (10 * torch.log10(255**2 / square.clamp_min(0.05))).mean().item()
            cost = bpp + (quality_lmbda(quality) * square).mean().item()
            point = {"bpp": round(bpp, 5), "plain": round(alone, 5), "psnr": round(db, 3), "cost": round(cost, 5)}
            points.append({"quality": q} | point)
        return points
