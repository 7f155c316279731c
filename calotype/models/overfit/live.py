"""What decoding an overfitted picture takes, by which of its latents the prior's net runs for.

A latent whose causal neighbours are zero, and what lies around it in the other grids that it sees, has a probability of its own
and no net. Told here from zeros alone: a decoder also runs where a neighbour is zero and was expected not to be, which is rare.
"""

from __future__ import annotations

import numpy as np

from ..complexity import net_cost, overfit_costs
from .bundle import OverfitBundle
from .cellnet import stages
from .layout import Grid, order, others
from .sizes import MARGIN, NEIGHBOURS, UNARY


def multiplications(bundle: OverfitBundle, grids: list[np.ndarray], pixels: int) -> tuple[float, list[float]]:
    """(of the prior, of all else with each net that the start has), a pixel, as complexity.py counts them."""
    costs, (latents, bits) = overfit_costs(bundle.config), live(grids, bundle.prior.trellis)
    rest = [costs.rest + sum(map(net_cost, stages(arrays))) for arrays in bundle.filters]
    return (latents * costs.latent + bits * costs.bit) / pixels, rest


def live(grids: list[np.ndarray], trellis: bool) -> tuple[int, int]:
    """(latents, their bits that are mixed) of grids in the order of `layout.order`."""
    known, latents, bits = dict(zip(order(), grids, strict=True)), 0, 0
    wide = {grid: _wide(values) for grid, values in known.items()}
    for grid, values in known.items():
        if not values.any():
            continue
        size = np.abs(values[_seen(grid, known, wide)])
        size = size + 1 >> 1 if trellis else size
        latents += len(size)
        bits += int((1 + (size > 0) * (1 + np.minimum(size, UNARY))).sum())
    return latents, bits


def _seen(grid: Grid, known: dict[Grid, np.ndarray], wide: dict[Grid, np.ndarray]) -> np.ndarray:
    """bool (h, w): whether anything that its prior sees is not zero."""
    h, w = known[grid].shape
    padded = np.pad(known[grid] != 0, MARGIN)
    found = np.zeros((h, w), bool)
    for up, right in NEIGHBOURS:
        found |= padded[MARGIN - up : MARGIN - up + h, MARGIN + right : MARGIN + right + w]
    for other in others(grid):
        if other is not None:
            times = 1 << (other.level - grid.level)
            found |= wide[other].repeat(times, 0).repeat(times, 1)
    return found


def _wide(values: np.ndarray) -> np.ndarray:
    """bool (h, w): whether there is one not zero in 3x3."""
    padded = np.pad(values != 0, 1)
    rows = padded[:-2] | padded[1:-1] | padded[2:]
    return rows[:, :-2] | rows[:, 1:-1] | rows[:, 2:]
