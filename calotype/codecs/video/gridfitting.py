"""The encoder's share of an overfitted clip's inter frame: motion search, and fitting latents to the residual. Imports torch.

    residual --wavelet--> targets <--rounding by what it costs in the real coder--> latents --lifting--> what is missing

As codecs/overfitting.py, which it follows; nothing here is a net, so the gradient of the error is that of the lifting.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch

from ...models.motion.compensate import Int16Planes
from ...models.motion.field import Field
from ...models.overfit import residual, temporal, wavelet
from ...models.overfit.layout import Grid, order
from ...models.overfit.net import lift_plane
from ...models.overfit.prior import Prior
from ...models.overfit.residual import form_of
from ...models.overfit.sizes import PLANES
from ...models.overfit.synthesis import STEP_UNIT
from ...models.overfit.temporal import Memory, Seen
from ...models.overfit.videobundle import OverfitVideoBundle
from ...models.videoconfig import search_lmbda
from ..overfitting import RATES, ROOM, STEP
from ..y4m import Planes
from . import frameanalysis
from .gridframes import GridPicture

ROUNDS = (0, 1, 2, 2, 3, 4, 5, 6, 8, 12)  # by effort, at most
# Squared steps that a bit is worth. By trial on two held-out crops: beside 3, 4.05 costs 2 %, 2.25 saves 1.3 % and costs .5 %.
WORTH = 2.55 / STEP**2
SEARCHED = 2.0  # steps of the search; 2.8, as of the net, costs 1.5 %
IDLE = 2  # rounds without a gain that end a fit


def predict(
    bundle: OverfitVideoBundle, planes: Planes, references: Sequence[GridPicture], quality: int, blocks: Sequence[int]
) -> tuple[Field, tuple[Int16Planes, Int16Planes]]:
    """As `frameanalysis.predict`, at quality 0..1000."""
    return frameanalysis.predict(bundle, planes, references, search_lmbda(quality), blocks, SEARCHED)  # type: ignore[arg-type]


def fit_frame(
    own: Prior, memory: Memory | None, planes: Planes, base: Int16Planes, seen: Seen, step: int, effort: int
) -> list[np.ndarray]:
    """The latents of least squared error + WORTH * bits that were found; planes: padded, base: as of `compensate`."""
    form = form_of(planes)
    goal = [
        ((p.astype(np.float32) - 128 - b.astype(np.float32) / 32) * (scale * STEP_UNIT / step)).astype(np.float32)
        for p, b, scale in zip(planes, base, form.scales, strict=True)
    ]
    h, w = planes[0].shape
    curvatures = wavelet.curvatures(h, w, form.finest)
    lmbdas = np.array([WORTH / float(c[len(c) // 2, c.shape[1] // 2]) if c.size else WORTH for c in curvatures])
    targets = _analyse(goal, form.finest)
    best, least, idle = residual.empty(h, w), math.inf, 0
    for number in range(ROUNDS[effort] + 1):
        found = temporal.choose(own, memory, targets, lmbdas, ROOM, seen, h, w, form=form)
        squares, ways = _missing(found.grids, goal, form.finest)
        cost = squares + WORTH * found.bits
        idle = 0 if cost < least else idle + 1
        if cost < least:
            best, least = found.grids, cost
        if number == ROUNDS[effort] or idle == IDLE:
            break
        for k, grid in enumerate(order()):
            if targets[k].size:
                wanted = found.grids[k] - ways[k] / (2 * curvatures[k])
                targets[k] = targets[k] + RATES[grid.level] * (wanted - targets[k])
    return best


def _analyse(goal: Sequence[np.ndarray], levels: Sequence[int]) -> list[np.ndarray]:
    """Targets, float32 a grid; zero where chroma has none. levels: of `Form.finest`."""
    parts: dict[Grid, np.ndarray] = {}
    for p in range(PLANES):
        parts |= wavelet.analyse_plane(goal[p], p, levels[p])
    h, w = goal[0].shape
    return [parts[g] if g in parts else np.zeros(g.shape(h, w), np.float32) for g in order()]


def _missing(grids: list[np.ndarray], goal: Sequence[np.ndarray], levels: Sequence[int]) -> tuple[float, list[np.ndarray]]:
    """Squared error of latents, in steps, and its gradient."""
    values = [torch.from_numpy(g).float().requires_grad_() for g in grids]
    parts = dict(zip(order(), values, strict=True))
    loss = torch.zeros(())
    for p in range(PLANES):
        loss = loss + (lift_plane(parts, p, levels[p]) - torch.from_numpy(goal[p])).square().sum()
    ways = torch.autograd.grad(loss, values, allow_unused=True)
    found = [np.zeros(g.shape, np.float32) if w is None else w.numpy() for g, w in zip(grids, ways, strict=True)]
    return float(loss.detach()), found
