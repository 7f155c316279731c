"""Real files to damage."""

from __future__ import annotations

import numpy as np
import pytest

from calotype.codecs.image import ImageCodec
from calotype.models.zoo import load_model


def picture(height: int, width: int, seed: int) -> np.ndarray:
    """Shading, edges and noise: (height, width, 3) uint8."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    shade = 128 + 60 * np.sin(x / 9 + seed) * np.cos(y / 13)
    edges = 50.0 * ((x // 11 + y // 7) % 2)
    colour = np.stack([shade + edges, shade - edges, 255 - shade], 2)
    return (colour + rng.normal(0, 8, colour.shape)).clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def files() -> dict[str, bytes]:
    """Three encoded pictures: plain, with a profile at high quality, and of two tiles."""
    bundle = load_model()
    plain, tiled = ImageCodec(bundle), ImageCodec(bundle, tile=128)
    return {
        "plain": plain.encode(picture(48, 64, 0), 30).data,
        "profile": plain.encode(picture(33, 40, 1), 80, b"not really a profile").data,
        "tiles": tiled.encode(picture(40, 140, 2), 20).data,
    }
