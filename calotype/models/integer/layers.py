"""Integers of the exact layers, and their bounds; what every execution agrees on. No torch, no numba."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from ...errors import ModelError
from ..grids import ACT_MAX, WIDE_WEIGHT_MAX
from ..priorgraph import KNOTS

KNOT_SPACING = 100  # of quality 0..1000
MAX_SHIFT = 24
GAIN_FRAC = 15  # logarithms of gains are multiples of 2**-15: 0.001 %; 2**-11 cost 1 % of the squared error at 43 dB
MANTISSA_BITS = 15


@dataclass(frozen=True)
class Rows:
    """The quality of each row of a product: levels, and each row's number of one (uint8), or None where there is but one."""

    levels: tuple[int, ...]
    which: np.ndarray | None = None

    def group(self, k: int) -> Rows:
        """The rows of one group of a head."""
        return self if self.which is None else Rows(self.levels, self.which[k])


ONE = Rows((0,))  # for layers that do not depend on quality


class Affine:
    """A linear or depthwise layer: out = clamp((w . x + bias + 2**(s-1)) >> s, low, high).

    weight: int8 or int16 (O, K), |w| <= 4063; bias: int32 (knots or 1, O) in units of the accumulator; shift: int8 (O,),
    1 to 24; low, high: (O,) clamps, by default +-16383; largest: of |x|. Raises ModelError where a bound does not hold:

        (largest + 1) * sum|w| + |bias| + 2**(s-1) < 2**31    one int32 holds every partial sum, in any order
        128 * sum|w| < 2**24                                  each half of x = 128 hi + lo sums exactly in float32 too
    """

    def __init__(
        self,
        weight: np.ndarray,
        bias: np.ndarray,
        shift: np.ndarray,
        low: np.ndarray | None = None,
        high: np.ndarray | None = None,
        largest: int = ACT_MAX,
    ):
        outputs = len(shift)
        self.weight, self.bias, self.shift = weight, bias, shift
        self.low = np.full(outputs, -ACT_MAX, np.int32) if low is None else low
        self.high = np.full(outputs, ACT_MAX, np.int32) if high is None else high
        sizes = np.abs(weight.astype(np.int64))
        reach = sizes.sum(1)
        half = 1 << (shift.astype(np.int64).clip(1, MAX_SHIFT) - 1)
        worst = (largest + 1) * reach + np.abs(bias.astype(np.int64)).max(0) + half
        if sizes.max(initial=0) > WIDE_WEIGHT_MAX or shift.min() < 1 or shift.max() > MAX_SHIFT:
            raise ModelError(
                f"integer layer with a weight beyond {WIDE_WEIGHT_MAX} or a shift outside 1..{MAX_SHIFT}: the model file is"
                " damaged"
            )
        if worst.max() >= 2**31 or reach.max() >= 2**17:
            raise ModelError("integer layer whose sums may overflow: the model file is damaged")
        self.bound, self.reach, self.largest = int(worst.max()), int(reach.max()), largest
        self.rounded_bias = (bias.astype(np.int64) + half).astype(np.int32)

    @cached_property
    def wide(self) -> bool:
        """Whether a weight needs more than 7 bits."""
        return bool(np.abs(self.weight.astype(np.int64)).max(initial=0) > 63)

    @cached_property
    def packed(self) -> Packed:
        """As the kernels take a product."""
        from .tile import pack

        return Packed(self, pack(self.weight))

    @cached_property
    def packed_depthwise(self) -> Packed:
        """As the kernels take a depthwise layer."""
        from .tile import HALVES, LANES, pack_depthwise

        channels = -(-len(self.shift) // LANES) * LANES
        weight = np.zeros((channels, 9), np.int16)
        weight[: len(self.weight)] = self.weight
        order = (np.arange(0, channels, LANES)[:, None] + HALVES).reshape(-1)
        return Packed(self, pack_depthwise(weight), order)

    def bias_at(self, levels: tuple[int, ...]) -> np.ndarray:
        """Biases (levels, O), the rounding half included, interpolated in integers between quality knots."""
        if len(self.rounded_bias) == 1:
            return self.rounded_bias
        return _between_knots(self.rounded_bias, levels).astype(np.int32)


def _between_knots(table: np.ndarray, levels: Sequence[int]) -> np.ndarray:
    """(KNOTS, C) integers -> (levels, C) int64 at those qualities, rounded halves up."""
    quality = np.array(levels)[:, None]
    knot = np.minimum(quality // KNOT_SPACING, KNOTS - 2)
    f = quality - KNOT_SPACING * knot
    a, b = (table[k[:, 0]].astype(np.int64) for k in (knot, knot + 1))
    return (a * (KNOT_SPACING - f) + b * f + KNOT_SPACING // 2) // KNOT_SPACING


class Packed:
    """A layer as the kernels take it: weight flat int16; shift, low, high int32 (outputs,), padded to whole panels; order:
    of the channels, by default as they are."""

    def __init__(self, layer: Affine, weight: np.ndarray, order: np.ndarray | None = None):
        self._layer, self._order, self._biases = layer, order, {}
        self.weight = weight.reshape(-1)
        self.outputs = -(-len(layer.shift) // 16) * 16
        self.shift, self.low, self.high = (
            self._padded(v, fill) for v, fill in ((layer.shift, 1), (layer.low, 0), (layer.high, 0))
        )

    def _padded(self, values: np.ndarray, fill: int) -> np.ndarray:
        full = np.full((*values.shape[:-1], self.outputs), fill, np.int32)
        full[..., : values.shape[-1]] = values
        return full if self._order is None else np.ascontiguousarray(full[..., self._order])

    def at(self, levels: tuple[int, ...] = (0,)) -> tuple[np.ndarray, ...]:
        """(weight, biases (levels, outputs) int32, shift, low, high); one row of biases where quality does not matter."""
        levels = levels if len(self._layer.rounded_bias) > 1 else (0,)
        if levels not in self._biases:
            if len(self._biases) >= 16:
                self._biases.clear()
            self._biases[levels] = self._padded(self._layer.bias_at(levels), 0)
        return self.weight, self._biases[levels], self.shift, self.low, self.high


@lru_cache
def mantissa_table() -> np.ndarray:
    """round(2**14 * 2**(i / 32768)) for i < 32768, int32.

    No value comes within 1e-6 of a rounding boundary (tested against exact integers).
    """
    return np.round(2 ** (MANTISSA_BITS - 1) * np.exp2(np.arange(1 << GAIN_FRAC) / (1 << GAIN_FRAC))).astype(np.int32)


@dataclass(frozen=True)
class Gains:
    """A product by channel whose factor depends on quality: out = clamp((x * mantissa + 2**(s-1)) >> s).

    log: int32 (KNOTS, C), base-2 logarithms in 1/32768 at the quality knots; rise: fractional bits of out less those of x.
    Shifts are 30 at most: smaller factors count as that. Raises ModelError for larger ones than a shift of 1 makes.
    """

    log: np.ndarray
    rise: int

    def __post_init__(self) -> None:
        if MANTISSA_BITS - 1 - (int(self.log.max()) >> GAIN_FRAC) - self.rise < 1:
            raise ModelError("a gain of the synthesis is too large: the model file is damaged")

    def at(self, levels: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        """(mantissas, shifts) at those qualities, int32 (levels, C) each; mantissas of 15 bits, shifts 1 to 30."""
        log = _between_knots(self.log, levels)
        shift = np.minimum(MANTISSA_BITS - 1 - (log >> GAIN_FRAC) - self.rise, 30)
        return mantissa_table()[log & ((1 << GAIN_FRAC) - 1)], shift.astype(np.int32)


@dataclass(frozen=True)
class BlockLayers:
    """The layers of one residual block: x + shrink(activation(grow(dw(x)))). table: int16 (2**15,) of an activation that is
    no leaky ReLU, by value + 2**14."""

    dw: Affine
    grow: Affine
    shrink: Affine
    table: np.ndarray | None = None
