"""A generative model so small that a call of its net takes no time, and a picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from calotype.models.bundle import ImageBundle
from calotype.models.generative.bundle import write_generative_model
from calotype.models.generative.config import GenerativeConfig
from calotype.models.generative.net import Denoiser
from calotype.models.zoo import DEFAULT_IMAGE_MODEL, find_model

CONFIG = GenerativeConfig(width=8, fine=8, blocks=1, fine_blocks=1)


def write_model(path: Path) -> Path:
    """A model file whose net changes what it is given, by scale, quality, realism and noise."""
    torch.manual_seed(1)
    net = Denoiser(CONFIG)
    for layer in (net.last, net.embed[2]):
        torch.nn.init.normal_(layer.weight, std=0.2)
    image = ImageBundle.read(find_model(DEFAULT_IMAGE_MODEL))
    write_generative_model(path, path.stem, CONFIG, image, {k: v.numpy() for k, v in net.state_dict().items()}, {})
    return path


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Shapes, a ramp and noise; (H, W, 3)."""
    y, x = np.mgrid[:height, :width]
    rng = np.random.default_rng(seed)
    disc = 90 * ((x - width // 2) ** 2 + (y - height // 3) ** 2 < (min(height, width) // 3) ** 2)
    planes = [(3 * x + y) % 200, 220 - x % 200 - disc, 60 + disc + y // 2 % 100]
    return np.clip(np.stack(planes, -1) + rng.integers(-5, 6, (height, width, 3)), 0, 255).astype(np.uint8)
