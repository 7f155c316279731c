"""A small net on cells of samples of three planes, and what it adds to them. Integers; net.py has its float twin.

    cells less their surroundings -> enter -> leaky -> (3x3 of each channel -> mix -> leaky) as often as there are mixes
                                  -> 3x3 of each channel -> leave -> added to the samples; edges repeat
"""

from __future__ import annotations

import importlib
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from types import ModuleType
from typing import NamedTuple

import numpy as np

from ... import threads
from .sizes import PLANES

WEIGHT_FRACTION, BIAS_FRACTION = 10, 16
WEIGHT_TOP, BIAS_TOP = (1 << 13) - 1, (1 << 29) - 1
COARSE_PREFIX = "coarse."
_STRIP = 16  # rows of cells that a thread filters at once


class CellNet(NamedTuple):
    """side: of a cell, in samples; width: channels; spreads, mixes: names of its arrays; prefix: of all names."""

    side: int
    width: int
    spreads: tuple[str, ...]
    mixes: tuple[str, ...]
    prefix: str = ""

    @property
    def inputs(self) -> int:
        return PLANES * self.side**2

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Of its arrays, by name, in order."""
        found: dict[str, tuple[int, ...]] = {"enter": (self.inputs, self.width), "enter_bias": (self.width,)}
        for spread, mix in zip(self.spreads, (*self.mixes, "leave"), strict=True):
            columns = self.inputs if mix == "leave" else self.width
            found |= {spread: (9, self.width), f"{spread}_bias": (self.width,)}
            found |= {mix: (self.width, columns), f"{mix}_bias": (columns,)}
        return {self.prefix + name: shape for name, shape in found.items()}

    def __call__(self, planes: np.ndarray, arrays: dict[str, np.ndarray]) -> np.ndarray:
        """Planes int64 (3, H, W) in 1/256 step, sides multiples of a cell's, filtered."""
        k, out, height = _kernels(), np.empty_like(planes), planes.shape[1] // self.side
        weights = [np.ascontiguousarray(arrays[name], np.int32) for name in self.shapes()]
        layers = [weights[i : i + 4] for i in range(2, len(weights), 4)]

        def strip(top: int) -> None:
            bottom, reach = min(top + _STRIP, height), len(layers)
            start, stop = max(top - reach, 0), min(bottom + reach, height)
            x = np.empty((stop - start, planes.shape[2] // self.side, self.width), np.int32)
            k.enter(planes, self.side, start, *weights[:2], x)
            for number, layer in enumerate(layers, 1):
                first, reach, last = start, reach - 1, number == len(layers)
                start, stop = max(top - reach, 0), min(bottom + reach, height)
                made = np.empty((stop - start, x.shape[1], layer[2].shape[1]), np.int32)
                k.block(x, first, height, *layer, last, start, made)
                x = made
            k.add(planes, x, self.side, top, out)

        with ThreadPoolExecutor(threads.count()) as pool:
            list(pool.map(strip, range(0, height, _STRIP)))
        return out


FINE = CellNet(2, 32, ("first", "second"), ("middle",))
COARSE = {
    width: CellNet(4, width, ("first", "second", "third", "fourth"), ("middle", "next", "behind"), COARSE_PREFIX)
    for width in (32, 64)
}


def coarse(arrays: dict[str, np.ndarray]) -> CellNet | None:
    """The coarse net of which there are arrays. Raises ValueError where they are of none."""
    if not any(name.startswith(COARSE_PREFIX) for name in arrays):
        return None
    width = len(arrays[f"{COARSE_PREFIX}enter_bias"])
    if width not in COARSE:
        raise ValueError(f"a coarse net has {' or '.join(map(str, COARSE))} channels, not {width}")
    return COARSE[width]


def stages(arrays: dict[str, np.ndarray]) -> tuple[CellNet, ...]:
    """The nets of which there are arrays, in order. Raises ValueError."""
    before = coarse(arrays)
    return (before, FINE) if before else (FINE,)


def shapes(arrays: dict[str, np.ndarray]) -> dict[str, tuple[int, ...]]:
    """Of all arrays of a filter's nets that there have to be. Raises ValueError."""
    return {name: shape for net in stages(arrays) for name, shape in net.shapes().items()}


@cache
def _kernels() -> ModuleType:
    """The compiled loops; numba is imported here, at the first use."""
    return importlib.import_module("calotype.models.overfit.cell_kernels")
