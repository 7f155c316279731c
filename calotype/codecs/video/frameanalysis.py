"""The encoder's share of an inter frame: motion search and float transforms. Imports torch; decoders do without."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from ... import threads
from ...entropy import RansEncoder
from ...models.image import knot_weights, modulate, quality_lmbda
from ...models.integer.inter import LEVEL_SHIFT, to_cells
from ...models.integer.synthesis import PIXEL_FRAC
from ...models.motion.compensate import Int16Planes, compensate
from ...models.motion.field import Field
from ...models.motion.fieldcoding import encode_field
from ...models.motion.search import STEPS, Search
from ...models.video import CHROMA_WEIGHT, LUMA
from ...models.videobundle import VideoBundle
from ..closedloop import Code, descend
from ..y4m import Planes

if TYPE_CHECKING:
    from .frames import Picture


def predict(
    bundle: VideoBundle,
    planes: Planes,
    references: Sequence[Picture],
    lmbda: float,
    blocks: Sequence[int],
    steps: float = STEPS,
) -> tuple[Field, tuple[Int16Planes, Int16Planes]]:
    """The field of that size of blocks which, with its prediction's error, takes the least, and its prediction.

    lmbda, steps: of `Search.field`."""
    before = [picture.planes for picture in references]
    search = Search(planes, before)

    def tried(block: int) -> tuple[float, Field, tuple[Int16Planes, Int16Planes]]:
        field = search.field(lmbda, block, references[0].field, bundle.prices, steps)
        prediction = compensate(before, field)
        counted = RansEncoder()
        encode_field(counted, bundle.motion, field, len(before))
        counted.finish()
        return search.cost(field, prediction[0][0], counted.bits, steps * lmbda), field, prediction

    return min(threads.side_by_side(tried, blocks), key=lambda found: found[0])[1:]


class Analysis:
    """One inter frame's transforms: padded uint8 planes, int16 planes of the prediction, c (1, H/8, W/8, C) of
    `IntegerInter.known`, quality 0..1000."""

    def __init__(self, bundle: VideoBundle, planes: Planes, base: Planes, c: np.ndarray, quality: int):
        self.bundle = bundle
        wanted = to_cells(tuple((p.astype(np.int16) - 128) << LEVEL_SHIFT for p in planes))
        self.wanted, self.base = (_tensor(bundle, a, PIXEL_FRAC) for a in (wanted, to_cells(base)))
        self.c = _tensor(bundle, c, bundle.inter.context_frac)
        self.quality = torch.tensor([float(quality)], device=bundle.device)
        self.weights = knot_weights(self.quality)

    def latents(self) -> torch.Tensor:
        """y (1, M, h, w) in steps."""
        with torch.inference_mode():
            return self.bundle.model.analyse(self.wanted, self.base, self.c, self.weights)

    def symbols(self, y: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
        """y -> y (h, w, M) float32, z (h/4, w/4, Z) int32."""
        with torch.inference_mode():
            z = self.bundle.model.side(y, self.weights).round()
            y, z = (v[0].permute(1, 2, 0).contiguous().cpu().numpy() for v in (y, z))
        return y, z.astype(np.int32)

    def fit(self, y: torch.Tensor, passes: int, code: Code) -> torch.Tensor:
        """y, fitted to the frame in so many passes of `closedloop.descend`."""
        model = self.bundle.model
        # the error of an orthonormal synthesis with those gains has the curvature 2 gain^2, chroma's weight in it
        curvature = modulate(torch.full_like(y, 2.0), self.weights, 2 * model.log_inverse_gain)
        worth = 0.75 * 256**2 * float(quality_lmbda(self.quality))

        def judge(decoded: torch.Tensor) -> tuple[torch.Tensor, float]:
            square = (model.synthesise(decoded, self.base, self.c, self.weights) - self.wanted).square()
            error = square[:, :LUMA].sum() + CHROMA_WEIGHT * square[:, LUMA:].sum()
            return error, worth * float(error.detach())

        return descend(y.clone(), curvature, passes, code, judge)


def _tensor(bundle: VideoBundle, cells: np.ndarray, frac: int) -> torch.Tensor:
    """(1, h, w, C) in 2**-frac -> (1, C, h, w) float32, channels last."""
    return torch.from_numpy(cells).to(bundle.device).permute(0, 3, 1, 2).float() * 2.0**-frac
