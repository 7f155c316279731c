"""A stack of convolutions from a small grid to pictures, in integers: what clips with their own networks are decoded by.

    grid (h, w, C) --[k x k, bias, >> fraction, leaky, clamp, shuffle up]--> ... --[last: >> to levels]--> (h S, w S, O)

Activations are integers in 1/512, weights integers in 2^-fraction of their layer, biases in 1/256. A layer is a plain sum of
products of integers below 2^53 (`Layer.bound`), which float64, and float32 where it is below 2^24, have exactly in any order:
so the pictures are the same on every machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ...errors import CorruptStreamError

ACT_FRACTION, ACT_TOP = 9, 4095  # activations lie in -ACT_TOP - 1..ACT_TOP
BIAS_FRACTION, BIAS_TOP = 8, 1 << 16
WEIGHT_TOP = 4095
FRACTION_TOP = 14
LEVEL_FRACTION = 6  # a level of the picture is 2^-6 of the last layer's unit
LEAK_SHIFT = 3
WIDTH_TOP = 1 << 13  # inputs, and outputs with the shuffle's, of a layer
_STRIP_BYTES = 1 << 22  # of the unfolded input at once


class Shape(NamedTuple):
    """A layer: kernel x kernel convolution to `outputs` channels of a picture `up` times as large. skip: what it gives, behind
    leaky, is added to its input, of the same shape."""

    kernel: int
    inputs: int
    outputs: int
    up: int
    skip: bool = False

    @property
    def rows(self) -> int:
        """Outputs before the shuffle."""
        return self.outputs * self.up**2

    @property
    def columns(self) -> int:
        """Products of an output."""
        return self.inputs * self.kernel**2

    @property
    def parameters(self) -> int:
        """Weights and biases."""
        return self.rows * (self.columns + 1)


def parameters(shapes: Sequence[Shape]) -> int:
    """Of a stack."""
    return sum(shape.parameters for shape in shapes)


def check(shapes: Sequence[Shape]) -> None:
    """Raise CorruptStreamError where a layer is larger than any may be."""
    if any(max(shape.rows, shape.inputs) > WIDTH_TOP for shape in shapes):
        raise CorruptStreamError(f"a network has more than {WIDTH_TOP} channels: the file is damaged")


def memory(shapes: Sequence[Shape], rows: int, columns: int) -> int:
    """Bytes that running a stack on a grid takes at most: the largest layer's input and output, this twice, in 4 bytes each,
    and all weights, in 8, three times."""
    most = 0
    for shape in shapes:
        most = max(most, 4 * rows * columns * (shape.inputs + 2 * shape.rows))
        rows, columns = rows * shape.up, columns * shape.up
    return most + 24 * parameters(shapes)


@dataclass(frozen=True)
class Layer:
    """weights: int64 (rows, columns), columns in the order (input, row, column of the kernel); bias: int64 (rows,)."""

    shape: Shape
    fraction: int
    weights: np.ndarray
    bias: np.ndarray

    def checked(self) -> Layer:
        """Itself. Raises CorruptStreamError where a number is out of its range."""
        fine = 0 <= self.fraction <= FRACTION_TOP and _within(self.weights, WEIGHT_TOP) and _within(self.bias, BIAS_TOP)
        if not fine:
            raise CorruptStreamError("a network's weights are out of range: the file is damaged")
        return self

    @property
    def bound(self) -> int:
        """No sum of this layer, in any order, passes it: below 2^53, as WIDTH_TOP * 25 * WEIGHT_TOP * 4096 < 2^42 and
        BIAS_TOP << 15 = 2^31."""
        sums = np.abs(self.weights).sum(1) * (ACT_TOP + 1) + (np.abs(self.bias) << self._bias_shift)
        return int(sums.max(initial=0)) + (1 << self.fraction + ACT_FRACTION)

    @property
    def _bias_shift(self) -> int:
        return self.fraction + ACT_FRACTION - BIAS_FRACTION

    def __call__(self, x: np.ndarray, last: bool, ends: tuple[int, int] = (0, 255)) -> np.ndarray:
        """(h, w, inputs) integers to (h up, w up, outputs): activations, or, last, levels within `ends`. The type is x's."""
        height, width = x.shape[:2]
        exact = np.float32 if self.bound < 1 << 24 else np.float64
        weights = np.ascontiguousarray(self.weights.T, exact)
        shift = self.fraction + (ACT_FRACTION - LEVEL_FRACTION if last else 0)
        # in units of the sum; a half of what is shifted out rounds
        bias = ((self.bias << self._bias_shift) + ((1 << shift) >> 1)).astype(exact)
        out = np.empty((height, width, self.shape.rows), x.dtype)
        strip = max(_STRIP_BYTES // (width * self.shape.columns * weights.itemsize), 1)
        for top in range(0, height, strip):
            rows = self._unfolded(x, top, min(top + strip, height), exact)
            sums = np.floor((rows @ weights + bias) * exact(2.0**-shift))
            if last:
                np.clip(sums, *ends, out=sums)
            else:
                np.maximum(sums, np.floor(sums * exact(2.0**-LEAK_SHIFT)), out=sums)
                if self.shape.skip:
                    sums += x[top : top + strip].reshape(sums.shape)
                np.clip(sums, -ACT_TOP - 1, ACT_TOP, out=sums)
            out[top : top + strip] = sums.reshape(-1, width, self.shape.rows)
        return _shuffled(out, self.shape.up)

    def _unfolded(self, x: np.ndarray, top: int, bottom: int, exact: type) -> np.ndarray:
        """(places, columns) of the rows from `top` to `bottom` of x; zeros stand outside of it."""
        reach = self.shape.kernel // 2
        first, end = max(top - reach, 0), min(bottom + reach, len(x))
        sides = (reach - (top - first), reach - (end - bottom))
        part = np.pad(x[first:end], (sides, (reach, reach), (0, 0))).astype(exact, copy=False)
        windows = np.lib.stride_tricks.sliding_window_view(part, (self.shape.kernel,) * 2, (0, 1))
        return windows.reshape(-1, self.shape.columns)


def run(layers: Sequence[Layer], grid: np.ndarray) -> np.ndarray:
    """Samples (H, W, outputs) uint8 of a grid of activations (h, w, inputs)."""
    return levels(layers, grid, (0, 255)).astype(np.uint8)


def levels(layers: Sequence[Layer], grid: np.ndarray, ends: tuple[int, int]) -> np.ndarray:
    """As `run`, float32 (H, W, outputs) integers within `ends`, both below 2^24."""
    x = np.asarray(grid, np.float32)  # integers below 2^24
    for number, layer in enumerate(layers, 1):
        x = layer(x, number == len(layers), ends)
    return x


def _shuffled(x: np.ndarray, up: int) -> np.ndarray:
    """(h, w, C up up) to (h up, w up, C)."""
    if up == 1:
        return x
    height, width, channels = x.shape
    parts = x.reshape(height, width, channels // up**2, up, up).transpose(0, 3, 1, 4, 2)
    return np.ascontiguousarray(parts).reshape(height * up, width * up, -1)


def _within(values: np.ndarray, top: int) -> bool:
    return not values.size or int(np.abs(values).max()) <= top
