"""HNeRV: a tiny grid for each frame, and a stack that a group of frames shares.

Source: Chen et al., "HNeRV: A Hybrid Neural Representation for Videos" (2023, arXiv 2304.02633): embeddings that follow the
content, widths that fall slowly, so that parameters are spread evenly, a first layer of 1 x 1.
Different: the embeddings are parameters, which begin as the principal components of the frames' own blocks, in place of an
encoder's outputs; integers (stack.py); 4:2:0 cells in place of RGB pixels; leaky ReLU in place of GELU; real bytes.

    symbols (frames, h, w, E) << 7 --1x1, up--> --3x3, up--> ... --3x3--> (frames, h S, w S, 6)
"""

from __future__ import annotations

import numpy as np

from .plan import SAMPLES, Cells, Plan, widest
from .stack import ACT_FRACTION, ACT_TOP, Shape

SYMBOL_SHIFT = ACT_FRACTION - 2  # a symbol is 1/4
SYMBOL_TOP = (ACT_TOP + 1 >> SYMBOL_SHIFT) - 1
WEIGHT_BITS, SYMBOL_BITS = 3.6, 2.5  # about what they take; for the sizes alone
SHARE = 0.25  # of the bits for the embeddings
MOST_INPUTS = 16
_SIDES = ((32, (2, 2)), (80, (2, 2, 2)), (240, (4, 2, 2)), (480, (4, 4, 2)))  # longest side in cells, steps up


def shapes(plan: Plan) -> list[Shape]:
    """The layers."""
    widths = plan.widths(len(plan.ups))
    found, inputs = [], plan.inputs
    for number, (up, width) in enumerate(zip(plan.ups, widths, strict=True)):
        found.append(Shape(3 if number else 1, inputs, width, up))
        inputs = width
    return [*found, Shape(3, inputs, SAMPLES, 1)]


def choose(cells: Cells, frames: int, bits: float) -> Plan:
    """The plan for a group of frames in about so many bits."""
    ups = next((ups for side, ups in _SIDES if max(cells) <= side), (4, 4, 4))
    rows, columns = cells.grid(Plan(1, 1, ups).stride)
    each = rows * columns * frames * SYMBOL_BITS
    inputs = int(min(max(round(SHARE * bits / each), 1), MOST_INPUTS))
    return widest(lambda width: Plan(width, inputs, ups), shapes, max(bits - inputs * each, 0) / WEIGHT_BITS)


def activations(symbols: np.ndarray) -> np.ndarray:
    """A stack's input of symbols within SYMBOL_TOP."""
    return symbols << SYMBOL_SHIFT
