"""NIRVANA: a stack that makes a few frames from the places of their patches alone; each begins at the one before it.

Source: Maiya et al., "NIRVANA: Neural Implicit Representations of Videos with Adaptive Networks and Autoregressive Patch-wise
Modeling" (2022, arXiv 2212.14593): a network for a group of frames, patches by their coordinates, weights that start from
the last group's and are coded as quantised differences, with an entropy term in training.
Different: the coordinates become a fixed cosine basis in place of sines with learned frequencies; 3 x 3 layers see beyond
a patch; integers (stack.py); key groups, which stand alone, every few groups.

    basis (h, w, F) --1x1--> --1x1, up--> --3x3, up--> ... --3x3--> (h S, w S, 6 frames)
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from .plan import SAMPLES, Cells, Plan, widest
from .stack import ACT_FRACTION, Shape

WEIGHT_BITS = 4.0  # about what one takes in a key group; for the sizes alone
KEY_SHARE = 0.25  # of what a key group and those up to the next may take, for the key group
MOST_INPUTS = 192
_SIDES = ((40, (2, 2)), (360, (4, 2)))  # longest side in cells, steps up


def shapes(plan: Plan, frames: int) -> list[Shape]:
    """The layers."""
    widths = plan.widths(len(plan.ups) + 1)
    found, inputs = [Shape(1, plan.inputs, widths[0], 1)], widths[0]
    for number, (up, width) in enumerate(zip(plan.ups, widths[1:], strict=True)):
        found.append(Shape(3 if number else 1, inputs, width, up))
        inputs = width
    return [*found, Shape(3, inputs, SAMPLES * frames, 1)]


def choose(cells: Cells, frames: int, bits: float) -> Plan:
    """The plan for a group of frames whose key group may take about so many bits."""
    ups = next((ups for side, ups in _SIDES if max(cells) <= side), (4, 4))
    rows, columns = cells.grid(Plan(1, 1, ups).stride)
    inputs = min(rows * columns, MOST_INPUTS)
    return widest(lambda width: Plan(width, inputs, ups), lambda plan: shapes(plan, frames), bits / WEIGHT_BITS)


def basis(rows: int, columns: int, inputs: int, at: tuple[np.ndarray, np.ndarray] | None = None) -> np.ndarray:
    """int64 (rows, columns, inputs): the products of cosines along both axes of lowest frequency, as activations.

    at: indices of rows and of columns, arrays of as many dimensions that broadcast, where not all places are needed.
    """
    y, x = (np.arange(rows)[:, None], np.arange(columns)[None]) if at is None else at
    down, across = _cosines(rows, columns, inputs)
    return np.moveaxis(down[:, y] * across[:, x] >> ACT_FRACTION, 0, -1)


@lru_cache(8)
def _cosines(rows: int, columns: int, inputs: int) -> tuple[np.ndarray, np.ndarray]:
    """The factors of each product: int64 (inputs, rows), (inputs, columns).

    Cosines are rounded at 512: of rational multiples of pi only 0, 1/2 and 1 are rational (Niven), so none is at a tie.
    """
    rows_used, columns_used = min(rows, inputs), min(columns, inputs)
    orders = sorted(
        ((i, j) for i in range(rows_used) for j in range(columns_used)),
        key=lambda order: ((order[0] * columns) ** 2 + (order[1] * rows) ** 2, order),
    )[:inputs]
    down, across = zip(*orders, strict=True)
    return _waves(rows_used, rows)[list(down)], _waves(columns_used, columns)[list(across)]


def _waves(orders: int, count: int) -> np.ndarray:
    """int64 (orders, count)."""
    unit, step = 1 << ACT_FRACTION, math.pi / (2 * count)
    return np.array([[round(unit * math.cos(step * (i * (2 * x + 1)))) for x in range(count)] for i in range(orders)], np.int64)
