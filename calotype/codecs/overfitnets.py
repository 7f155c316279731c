"""What of an overfitted picture's own networks is worth its bits, by least squares. Imports torch.

Squared error is a quadratic of the last layer's weights, and nearly one of how far the weights move in the directions of the
start, so the best need no descent.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call

from ..models.overfit.net import SynthesisNet

LEVELS = 32  # most steps of a weight's difference or of an amount
PASSES = 20
PROBE = 2.0  # units of an amount that tell what it does


def least(square: np.ndarray, cross: np.ndarray, worth: float) -> np.ndarray:
    """Integers x (n, m) of small x' square x - 2 x' cross, summed over columns, + worth * bits of x.

    Coordinate by coordinate the level of least cost is taken, bits roughly as the weight coder has them, until none changes.
    """
    levels = np.zeros(cross.shape, np.int64)
    tried = np.arange(-LEVELS, LEVELS + 1)
    price = worth * np.where(tried == 0, 0.3, 3.5 + 2 * np.log2(np.maximum(np.abs(tried), 1)))
    for _ in range(PASSES):
        before = levels.copy()
        for i in range(len(levels)):
            slope = cross[i] - square[i] @ levels + square[i, i] * levels[i]
            cost = square[i, i] * tried**2 - 2 * slope[:, None] * tried + price
            levels[i] = tried[np.argmin(cost, 1)]
        if (levels == before).all():
            break
    return levels


def amounts(
    net: SynthesisNet,
    directions: dict[str, Tensor],
    planes: Tensor,
    goal: Tensor,
    weights: Tensor,
    worth: float,
    now: tuple[int, ...],
) -> tuple[int, ...]:
    """How far a net should move in each direction, a step of Gauss and Newton from `now` on.

    net: as the start has it; directions: of `SynthesisNet.from_directions`; planes: before it, (3, H, W); goal: after it,
    (3, h, w) with h <= H, w <= W; weights: (h, w) or (1, 1), what squared errors count; worth: squared error that a bit is
    worth.
    """
    height, width = goal.shape[1:]
    start = {name: value.detach() for name, value in net.named_parameters()}
    place = torch.tensor(now, dtype=torch.float32, device=planes.device)

    def made(at: Tensor) -> Tensor:
        own = {name: value + torch.tensordot(at, directions[name], 1) for name, value in start.items()}
        return functional_call(net, own, (planes[None],))[0, :, :height, :width]

    with torch.no_grad():
        here, root, steps = made(place), weights.sqrt(), PROBE * torch.eye(len(now), device=planes.device)
        slopes = torch.stack([((made(place + step) - here) * (root / PROBE)).reshape(-1) for step in steps])
        missing = ((goal - here) * root).reshape(-1) + place @ slopes
        square, cross = (slopes @ slopes.t()).double().cpu().numpy(), (slopes @ missing).double().cpu().numpy()
    return tuple(least(square, cross[:, None], worth)[:, 0].tolist())
