"""Filters of generative pictures, solved: photos come nearer to their sources than without."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from calotype.codecs.generative import GenerativeCodec
from calotype.codecs.targets import psnr
from calotype.models.zoo import load_any_model
from calotype.train import fidelity
from calotype.train.data import Photos


@pytest.fixture
def photos(tmp_path: Path) -> Photos:
    """Noise over shapes, three pictures."""
    y, x = np.mgrid[:96, :128]
    for seed in range(3):
        noise = np.random.default_rng(seed).normal(0, 12, (96, 128, 3))
        shapes = 128 + 60 * np.sin((x + (seed + 1) * y) / 9)[..., None]
        Image.fromarray(np.clip(shapes + noise, 0, 255).astype(np.uint8)).save(tmp_path / f"{seed}.png")
    return Photos([tmp_path], 96)


def test_pictures_come_nearer_to_their_sources_at_realism_zero(photos: Photos) -> None:
    bundle = load_any_model("generative")[1]
    found = fidelity.solve(bundle, photos, 14, 96)
    assert found.weights.any() and tuple(found.rest) == fidelity.REST
    gains = []
    for photo in photos.train:
        pixels = photo.contiguous().numpy()
        pair = [GenerativeCodec(replace(bundle, fidelity=of), realism=0) for of in (None, found)]
        gains.append(np.subtract(*(psnr(pixels, fidelity.coded(codec, pixels, 70)[1]) for codec in reversed(pair))))
    assert min(gains) > 0
