"""The filters of generative pictures (models/generative/fidelity.py), solved for what the net leaves at realism 0."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from ..codecs import container
from ..codecs.generative import GenerativeCodec
from ..models.generative import fidelity
from ..models.generative.bundle import GenerativeBundle
from ..models.generative.dial import place
from ..models.generative.net import enlarge
from ..models.overfit import loop
from .data import Photos
from .wiener import ClassFit

SIZES = fidelity.SHAPE[:2]


# Hundredths left at realism 1, by scale. On 19 held-out photos, of 0 to 75, the distance is least at about 30, 45 and 45.
REST = (25, 45, 45)


def solve(bundle: GenerativeBundle, photos: Photos, crops: int, side: int, seed: int = 0) -> fidelity.Filters:
    """The filters by so many crops, side x side, at even positions of the dial."""
    codec, fit = GenerativeCodec(replace(bundle, fidelity=None), realism=0), ClassFit(SIZES[0] * SIZES[1])
    for number in range(crops):
        dial = round(1000 * (number + 0.5) / crops)
        batch = photos.batch(seed, number, 1, side)[0][0]
        pixels = (batch * 255).round().to(torch.uint8).permute(1, 2, 0).contiguous().numpy()
        given, shown = coded(codec, pixels, dial / 10)
        at = int(np.ravel_multi_index(fidelity.place_of(place(dial)), SIZES))
        for c in range(3):
            plane = fidelity.plane_of(given[c])
            missing = (pixels[..., c].astype(np.float32) - shown[..., c]) * fidelity.LEVEL
            fit.add(at, plane, loop.classes(plane, plane, fidelity.UNIT), missing, 1 / fidelity.LEVEL)
    weights = fit.solved().reshape(*SIZES, *loop.SHAPE[1:])[..., :: fidelity.OF_NO_CHANGE, :]
    return fidelity.Filters(np.ascontiguousarray(weights, np.int16), np.array(REST, np.uint8)).checked()


def coded(codec: GenerativeCodec, pixels: np.ndarray, quality: float) -> tuple[np.ndarray, np.ndarray]:
    """What the net is given, enlarged, (3, h, w) in 0..1; and what is shown, (h, w, 3) uint8; both of pixels' size."""
    stream = container.read(codec.encode(pixels, quality).data)
    small = torch.from_numpy(codec.decode_exact(stream)).permute(2, 0, 1)[None].float() / 255
    large = enlarge(small, place(round(10 * quality)).scale)[0].numpy()
    return large[:, : pixels.shape[0], : pixels.shape[1]], codec.decode(stream).pixels
