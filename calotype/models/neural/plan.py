"""How large a group's network is: a few numbers that its chunk carries, and the layers that follow from them.

cells of 2 x 2 pixels: Y Y Y Y U V, 6 samples       grid: one place for S x S cells, S the product of the steps up
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ...errors import CorruptStreamError
from .stack import WIDTH_TOP, Shape, parameters

SAMPLES = 6  # of a cell
LEAST_WIDTH = 6
_WIDEST = 512  # with a step up of 4, WIDTH_TOP rows


class Cells(NamedTuple):
    """Rows and columns of a frame's cells."""

    height: int
    width: int

    @staticmethod
    def of(height: int, width: int) -> Cells:
        """Of a frame of that many pixels."""
        return Cells((height + 1) // 2, (width + 1) // 2)

    def grid(self, stride: int) -> tuple[int, int]:
        """Rows and columns of places."""
        return -(-self.height // stride), -(-self.width // stride)


@dataclass(frozen=True)
class Plan:
    """width: channels of the first layer; inputs: of the grid; ups: the steps up, coarse to fine."""

    width: int
    inputs: int
    ups: tuple[int, ...]

    @property
    def stride(self) -> int:
        """Cells a side of a place."""
        stride = 1
        for up in self.ups:
            stride *= up
        return stride

    def widths(self, count: int) -> list[int]:
        """Channels of `count` layers, each 2/3 of the one before."""
        found = [self.width]
        while len(found) < count:
            found.append(max(found[-1] * 2 // 3, LEAST_WIDTH))
        return found

    def numbers(self) -> tuple[int, ...]:
        """What the chunk carries."""
        return self.width, self.inputs, len(self.ups), *self.ups


def plan_of(numbers: Sequence[int]) -> Plan:
    """The inverse of `Plan.numbers`. Raises CorruptStreamError."""
    width, inputs, count, *ups = numbers
    if not LEAST_WIDTH <= width <= WIDTH_TOP or not 1 <= inputs <= WIDTH_TOP or len(ups) != count:
        raise CorruptStreamError("a network's numbers are out of range: the file is damaged")
    if not ups or any(up not in (2, 4) for up in ups):
        raise CorruptStreamError("a network's steps up are none that there are: the file is damaged")
    return Plan(width, inputs, tuple(ups))


def widest(make: Callable[[int], Plan], shapes: Callable[[Plan], list[Shape]], most: float) -> Plan:
    """The plan of the greatest width whose stack has at most so many parameters; of LEAST_WIDTH where none has."""
    low, high = LEAST_WIDTH, _WIDEST
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if parameters(shapes(make(middle))) <= most else (low, middle - 1)
    return make(low)
