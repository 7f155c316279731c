"""What a latent does to the bits of those that are coded after it: the prior in floats, with gradients. Imports torch.

The coder's price of a latent is its own bits. But it is also seen by the priors of its neighbours, of other orientations, of
the level below and of other planes: one alone among zeros makes all of them dearer, one among many makes them cheaper. To first
order that is the gradient of all bits by the magnitudes that the priors see, with the values that are coded held fixed.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .layout import Grid, order, others
from .prior import FRACTIONS, Prior
from .sizes import NEIGHBOURS, OTHERS

HALF_STEP = 5 / 8  # of a trellis, in what its nets take for one, as in `layout.log_table`


def side_effects(prior: Prior, grids: list[np.ndarray], device: torch.device) -> list[np.ndarray]:
    """Bits that the others cost more where a latent's magnitude is larger by one: float32 (h, w) a grid."""
    arrays = {k: torch.from_numpy(v / (1 << FRACTIONS[k])).to(device, torch.float32) for k, v in prior.arrays.items()}
    unit = HALF_STEP if prior.trellis else 1.0
    values = {g: unit * torch.from_numpy(v).to(device, torch.float32) for g, v in zip(order(), grids, strict=True) if v.any()}
    sizes = {g: v.abs().requires_grad_() for g, v in values.items()}
    seen: dict[tuple[Grid, int], list[Tensor]] = {}
    total = torch.zeros((), device=device)
    for grid, value in values.items():
        total = total + _bits(grid, value, sizes, arrays, seen)
    found = dict(zip(sizes, torch.autograd.grad(total, list(sizes.values()), allow_unused=True), strict=True))
    # an empty grid is given none: to first order it would be that of any first latent, and those of a whole grid would add up
    known = [found.get(g) for g in order()]
    return [np.zeros(v.shape, np.float32) if e is None else unit * e.cpu().numpy() for e, v in zip(known, grids, strict=True)]


def _bits(
    grid: Grid, value: Tensor, sizes: dict[Grid, Tensor], arrays: dict[str, Tensor], seen: dict[tuple[Grid, int], list[Tensor]]
) -> Tensor:
    h, w = value.shape
    log = F.pad(_log(sizes[grid]), (2, 2, 2, 2))
    features = [log[2 - up : 2 - up + h, 2 + right : 2 + right + w] for up, right in NEIGHBOURS]
    for other in others(grid):
        if other is None or other not in sizes:
            features += [torch.zeros_like(value)] * 2
            continue
        key = other, other.level - grid.level
        if key not in seen:
            size = sizes[other]
            ring = 9 * F.avg_pool2d(F.pad(size, (1, 1, 1, 1))[None, None], 3, 1)[0, 0] - size
            times = 1 << key[1]
            seen[key] = [_log(x).repeat_interleave(times, 0).repeat_interleave(times, 1) for x in (size, ring)]
        features += seen[key]
    assert len(features) == len(NEIGHBOURS) + 2 * OTHERS
    x, net = torch.stack(features, -1).reshape(h * w, -1), grid.net
    x = F.leaky_relu(x @ arrays["enter"][net] + arrays["enter_bias"][net, grid.level - 1], 0.125)
    x = F.leaky_relu(x @ arrays["middle"][net] + arrays["middle_bias"][net], 0.125)
    index = (x @ arrays["leave"][net] + arrays["leave_bias"][net]).clamp(0, 47)
    return laplace_bits(value.reshape(-1), torch.exp2(index / 4 - 5)).sum()


def _log(size: Tensor) -> Tensor:
    return torch.log2(1 + size.clamp(min=0))


def laplace_bits(x: Tensor, b: Tensor) -> Tensor:
    """Bits of an integer whose distance from the mean is x, under a Laplace distribution of scale b."""
    size, b = x.abs(), b.clamp(2**-6, 2**8)
    inside = 1 - 0.5 * torch.exp(-(0.5 - size).clamp(min=0) / b) - 0.5 * torch.exp(-(0.5 + size) / b)
    outside = -(size - 0.5).clamp(min=0) / b + torch.log(-torch.expm1(-1 / b)) - math.log(2)
    return -torch.where(size < 0.5, torch.log(inside.clamp(min=1e-9)), outside.clamp(min=-30)) / math.log(2)
