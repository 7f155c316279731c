"""The encoder's share of an inter frame: motion search and float transforms. Imports torch; decoders do without."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from ...entropy import RansEncoder
from ...models.image import knot_weights
from ...models.integer.inter import LEVEL_SHIFT, to_cells
from ...models.integer.synthesis import PIXEL_FRAC
from ...models.motion.compensate import Int16Planes, compensate
from ...models.motion.field import Field
from ...models.motion.fieldcoding import encode_field
from ...models.motion.search import search
from ...models.videobundle import VideoBundle
from ..y4m import Planes

if TYPE_CHECKING:
    from .frames import Picture


def predict(
    bundle: VideoBundle, planes: Planes, references: Sequence[Picture], lmbda: float, blocks: Sequence[int]
) -> tuple[Field, tuple[Int16Planes, Int16Planes]]:
    """The field of that size of blocks whose prediction's absolute error and bits are the least, and its prediction."""
    before = [picture.planes for picture in references]
    wanted = (planes[0].astype(np.int16) - 128) << LEVEL_SHIFT
    best: tuple[float, Field, tuple[Int16Planes, Int16Planes]] | None = None
    for block in blocks:
        field = search(planes, before, lmbda, block, references[0].field, bundle.prices)
        prediction = compensate(before, field)
        error = float(np.abs(wanted - prediction[0][0], dtype=np.int32).sum()) / (1 << LEVEL_SHIFT)
        counted = RansEncoder()
        encode_field(counted, bundle.motion, field, len(before))
        counted.finish()
        cost = error + lmbda * counted.bits
        if best is None or cost < best[0]:
            best = cost, field, prediction
    assert best is not None
    return best[1], best[2]


def analyse(bundle: VideoBundle, planes: Planes, base: Planes, c: np.ndarray, quality: int) -> tuple[np.ndarray, np.ndarray]:
    """Padded uint8 planes, int16 planes of the prediction, c (1, H/8, W/8, C) of `IntegerInter.known`, quality 0..1000 ->
    y (h, w, M) float32 in steps, z (h/4, w/4, Z) int32."""
    wanted = to_cells(tuple((p.astype(np.int16) - 128) << LEVEL_SHIFT for p in planes))
    with torch.inference_mode():
        weights = knot_weights(torch.tensor([float(quality)], device=bundle.device))
        x, known = (_tensor(bundle, a, PIXEL_FRAC) for a in (wanted, to_cells(base)))
        y = bundle.model.analyse(x, known, _tensor(bundle, c, bundle.inter.context_frac), weights)
        z = bundle.model.side(y, weights).round()
        y, z = (v[0].permute(1, 2, 0).contiguous().cpu().numpy() for v in (y, z))
    return y, z.astype(np.int32)


def _tensor(bundle: VideoBundle, cells: np.ndarray, frac: int) -> torch.Tensor:
    """(1, h, w, C) in 2**-frac -> (1, C, h, w) float32, channels last."""
    return torch.from_numpy(cells).to(bundle.device).permute(0, 3, 1, 2).float() * 2.0**-frac
