"""From latents to pixels, in integers: lifting upwards, level by level, then a small filter, then colours.

    grids --gain, shrink--> coefficients --lifting--> three planes, in steps --nets on cells of samples (cellnet.py)-->
          --from overfit-s.4 on a filter by class of sample--> --step, colours--> RGB

Source: Ladune et al., "COOL-CHIC" (arXiv 2212.05458) and Kim et al., "C3: High-performance and low-complexity neural
compression from a single image or video" (arXiv 2312.02753): a tiny net per picture turns latents of several resolutions
into pixels.
Different: the upsampling is a lifted wavelet, which has an inverse, so that latents have a start; the net is a residual to it.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from functools import cache
from types import ModuleType

import numpy as np

from ... import threads
from . import cellnet, classfilter, loop
from .layout import Grid, order
from .sizes import LEVELS, PLANES, REST

GAIN_UNIT = 256
GAIN_TOP = 4095
STEP_UNIT = 64
STEP_TOP = (1 << 15) - 1
COLOUR_FRACTION, COLOUR_TOP = 12, (1 << 13) - 1


@dataclass(frozen=True)
class Synthesis:
    """arrays: of the filter's nets, int32, as `cellnet.shapes` has them. gains, shrinks: (GRIDS,) in 1/256 step; colours:
    (3, 3) channels by planes in 2^-12; step: in 1/64 level. classes: of classfilter.py, None where there are none; strengths:
    of it, by plane."""

    arrays: dict[str, np.ndarray]
    gains: np.ndarray
    shrinks: np.ndarray
    colours: np.ndarray
    step: int
    classes: np.ndarray | None = None
    strengths: tuple[int, ...] = (0,) * PLANES

    def checked(self) -> Synthesis:
        """Itself. Raises ValueError where a number passes the bounds of the kernels."""
        for name, shape in cellnet.shapes(self.arrays).items():
            top = cellnet.BIAS_TOP if name.endswith("bias") else cellnet.WEIGHT_TOP
            check_array(name, self.arrays[name], shape, top)
        if np.abs(self.colours).max() > COLOUR_TOP or not 1 <= self.step <= STEP_TOP:
            raise ValueError("colours or step are out of range")
        if self.gains.min() < 1 or self.gains.max() > GAIN_TOP or self.shrinks.min() < 0 or (self.shrinks >= self.gains).any():
            raise ValueError("gains are out of range")
        if self.classes is not None:
            classfilter.checked(self.classes)
        if not all(0 <= s <= loop.STRONGEST for s in self.strengths):
            raise ValueError("strengths of the filters by class are out of range")
        return self

    def __call__(self, grids: list[np.ndarray], height: int, width: int) -> np.ndarray:
        """Pixels (height, width, 3) uint8 of latents, int32 grids in the order of `layout.order`."""
        out = self._planes(grids)
        for net in cellnet.stages(self.arrays):
            out = net(out, self.arrays)
        for plane, strength, weights in zip(out, self.strengths, () if self.classes is None else self.classes, strict=False):
            if strength:
                plane += classfilter.strengthened(classfilter.corrections(classfilter.samples(plane), weights), strength)
        pixels = np.empty((height, width, 3), np.uint8)
        _kernels().paint(out, np.ascontiguousarray(self.colours, np.int32), self.step, pixels)
        return pixels

    def _planes(self, grids: list[np.ndarray]) -> np.ndarray:
        """int64 (3, H, W) in 1/256 step, before the filter."""
        parts = dequantised(grids, self.gains, self.shrinks)
        return np.stack(threads.side_by_side(lambda p: merged(parts, p, 1), range(PLANES)))


def dequantised(grids: list[np.ndarray], gains: np.ndarray, shrinks: np.ndarray) -> dict[Grid, np.ndarray]:
    """Coefficients int64 in 1/256 step of latents."""
    parts: dict[Grid, np.ndarray] = {}
    for number, (grid, values) in enumerate(zip(order(), grids, strict=True)):
        parts[grid] = np.empty(values.shape, np.int64)
        _kernels().dequantise(values, int(gains[number]), int(shrinks[number]), parts[grid])
    return parts


def merged(parts: dict[Grid, np.ndarray], plane: int, finest: int) -> np.ndarray:
    """int64 (H >> finest - 1, W >> finest - 1): a plane of its coefficients from level `finest` on, which are overwritten."""
    k, rest = _kernels(), parts[Grid(plane, LEVELS, REST)]
    for level in range(LEVELS, finest - 1, -1):
        across, down, both = (parts[Grid(plane, level, o)] for o in range(3))
        h, w = rest.shape
        smooth, detail = np.empty((2 * h, w), np.int64), np.empty((2 * h, w), np.int64)
        k.merge_down(rest, down, smooth)
        k.merge_down(across, both, detail)
        rest = np.empty((2 * h, 2 * w), np.int64)
        k.merge_across(smooth, detail, rest)
    return rest


def check_array(name: str, array: np.ndarray, shape: tuple[int, ...], top: int) -> None:
    """Raise ValueError unless an int32 array has that shape and no larger values."""
    if array.shape != shape or array.dtype != np.int32 or np.abs(array.astype(np.int64)).max() > top:
        raise ValueError(f"the array '{name}' has another type or shape, or passes {top}")


@cache
def _kernels() -> ModuleType:
    """The compiled loops; numba is imported here, at the first use."""
    return importlib.import_module("calotype.models.overfit.synthesis_kernels")
