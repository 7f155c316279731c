"""Small inter-frame models of random weights, with predictions, latents and everything of a model file that they need."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch

from calotype.models.image import knot_weights
from calotype.models.integer.convertinter import convert_inter
from calotype.models.integer.convertprior import integer_arrays
from calotype.models.integer.inter import to_cells
from calotype.models.video import InterModel, Prediction
from calotype.models.videoconfig import VideoConfig

SMALL = VideoConfig(width=16, context_blocks=1, analysis_blocks=1, synthesis_blocks=1, latents=16, side=8, hidden=16)
QUALITIES = (0, 350, 1000)


@lru_cache
def model_of(seed: int, config: VideoConfig = SMALL) -> InterModel:
    """A model whose every layer does something."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = InterModel(config).eval()
        for name, p in sorted(model.named_parameters()):
            noise = torch.randn(p.shape)
            if name.endswith("_dw.weight"):
                p.data = 0.1 * noise
                p.data[:, 4] += 1
            elif name.endswith("_head.bias"):
                p.data = 0.3 * noise + 2.5 * (torch.arange(p.shape[-1]) >= p.shape[-1] // 2)
            elif name.endswith("bias"):
                p.data = 0.1 * noise
            elif "log_" in name:
                p.data = p.data + 0.2 * noise
            elif name.startswith("prior."):
                p.data = 0.3 * noise / p.shape[-1] ** 0.5
            elif name == "synthesis.leave.weight":
                p.data = 0.3 * noise / config.width**0.5
    return model.requires_grad_(False)


def planes_of(rng: np.random.Generator, height: int, width: int, spread: float = 40, centre: int = 128):
    """int16 planes in 1/32 levels, smooth and rough, within what compensation gives where spread and centre are as here."""
    y, x = np.mgrid[:height, :width]
    parts = []
    for scale in (1, 2, 2):
        shape = height // scale, width // scale
        wave = spread * np.sin((x + 5 * rng.random())[: shape[0], : shape[1]] / 9 + y[: shape[0], : shape[1]] / 7)
        plane = centre + wave + rng.normal(0, spread / 4, shape)
        parts.append((32 * (plane.clip(centre - 128, centre + 127) - 128)).round().astype(np.int16))
    return tuple(parts)


def prediction_of(rng: np.random.Generator, height: int = 64, width: int = 96):
    """(base, difference) planes."""
    return planes_of(rng, height, width), tuple(p + np.int16(4096) for p in planes_of(rng, height, width, 10, 0))


def to_torch(planes) -> torch.Tensor:
    """int16 planes in 1/32 levels as the float net has them: (1, 96, h, w)."""
    return torch.from_numpy(to_cells(planes)).permute(0, 3, 1, 2).float() / 2**13


def latents_of(rng: np.random.Generator, model: InterModel, h: int, w: int, quality: int) -> np.ndarray:
    """(h, w, M) int32 in 1/16 steps, as large as residuals are."""
    gain = torch.exp(knot_weights(torch.tensor([float(quality)])) @ model.log_inverse_gain)[0].numpy()
    return np.rint(16 * rng.laplace(0, 0.1, (h, w, model.config.latents)) / gain).astype(np.int32)


@lru_cache
def arrays_of(seed: int, config: VideoConfig = SMALL) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """(of the prior, of the decoder): the integers of `model_of`. Whoever changes them copies them first."""
    model, rng, samples = model_of(seed, config), np.random.default_rng(seed), []
    for quality in QUALITIES:
        base, difference = map(to_torch, prediction_of(rng))
        y = torch.from_numpy(latents_of(rng, model, 4, 6, quality) / 16).permute(2, 0, 1)[None].float()
        samples.append((Prediction(base, difference, torch.zeros_like(y)), y, torch.tensor([float(quality)])))
    return integer_arrays(model.prior), convert_inter(model, samples)
