"""The exact layers once more, in plain int64 and loops, and layers whose weights, biases and activations reach their bounds.

Written from the definitions (`Execution`'s docstrings), not from any execution's code.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction

import numpy as np

from calotype import threads
from calotype.models.integer.layers import GAIN_FRAC, Affine, BlockLayers, Gains, Rows

ACT = 16383
INT32_MAX = 2**31 - 1
NARROW, WIDE = 63, 4063
KNOTS = 11
OCTAVE = 1 << GAIN_FRAC


class Exact:
    """An integer result, and the largest magnitude of any accumulator on the way."""

    def __init__(self) -> None:
        self.largest = 0

    def requantised(self, layer: Affine, sums: np.ndarray, bias: np.ndarray) -> np.ndarray:
        """sums (..., O) of products -> clamp(floor((sums + bias + 2**(s-1)) / 2**s))."""
        shift = layer.shift.astype(np.int64)
        total = sums + bias + 2 ** (shift - 1)
        largest = int(np.abs(total).max())
        assert largest <= layer.bound <= INT32_MAX, "a sum beyond the bound that the layer proves"
        self.largest = max(self.largest, largest)
        return np.minimum(np.maximum(np.floor_divide(total, 2**shift), layer.low), layer.high)

    def affine(
        self, layer: Affine, bias: np.ndarray, x: np.ndarray, rows: Rows, leaky: bool = False, skip: np.ndarray | None = None
    ) -> np.ndarray:
        """bias: (KNOTS or 1, O), without the rounding half."""
        sums = np.einsum("...k,ok->...o", x.astype(np.int64), layer.weight.astype(np.int64))
        of_level = np.array([[_between(bias[:, o], q) for o in range(bias.shape[1])] for q in rows.levels], np.int64)
        y = self.requantised(layer, sums, of_level[0] if rows.which is None else of_level[rows.which])
        if leaky:
            y = _leaky(y)
        return y if skip is None else np.clip(y + skip.astype(np.int64), -ACT, ACT)

    def depthwise(self, layer: Affine, bias: np.ndarray, x: np.ndarray) -> np.ndarray:
        """weight (C, 9)."""
        sums = np.zeros(x.shape, np.int64)
        for place, tap in _taps(x.shape):
            sums[place] += x[tap[:3]].astype(np.int64) * layer.weight[:, tap[3]].astype(np.int64)
        return self.requantised(layer, sums, bias[0].astype(np.int64))

    def conv3x3(self, layer: Affine, bias: np.ndarray, x: np.ndarray, leaky: bool = False) -> np.ndarray:
        """weight (O, 9 K), tap by tap."""
        k = x.shape[3]
        sums = np.zeros((*x.shape[:3], len(layer.weight)), np.int64)
        for place, tap in _taps(x.shape):
            part = layer.weight[:, tap[3] * k : (tap[3] + 1) * k].astype(np.int64)
            sums[place] += part @ x[tap[:3]].astype(np.int64)
        y = self.requantised(layer, sums, bias[0].astype(np.int64))
        return _leaky(y) if leaky else y

    def block(self, layers: BlockLayers, biases: list[np.ndarray], x: np.ndarray) -> np.ndarray:
        """biases: of depthwise, grow, shrink."""
        y = self.depthwise(layers.dw, biases[0], x)
        y = self.affine(layers.grow, biases[1], y, Rows((0,)), leaky=layers.table is None)
        if layers.table is not None:
            y = np.array([layers.table[v + 2**14] for v in y.reshape(-1).tolist()], np.int64).reshape(y.shape)
        return self.affine(layers.shrink, biases[2], y, Rows((0,)), skip=x)

    def expand(self, layers: list[Affine], biases: list[np.ndarray], x: np.ndarray) -> np.ndarray:
        b, h, w, _ = x.shape
        out = np.zeros((b, 2 * h, 2 * w, len(layers[0].shift)), np.int64)
        for place, (layer, bias) in enumerate(zip(layers, biases, strict=True)):
            out[:, place // 2 :: 2, place % 2 :: 2] = self.affine(layer, bias, x, Rows((0,)))
        return out

    def paint(self, post: Affine, bias: np.ndarray, frac: int, x: np.ndarray) -> np.ndarray:
        """(B, h, w, 192) -> (B, 8 h, 8 w, 3) pixels."""
        b, h, w, _ = x.shape
        picture = np.zeros((b, 8 * h, 8 * w, 3), np.int64)
        for c in range(3):
            for i in range(8):
                for j in range(8):
                    picture[:, i::8, j::8, c] = x[..., 64 * c + 8 * i + j]
        for start in range(8, 8 * w - 8, 16):
            part = picture[:, :, start : start + 16].transpose(0, 1, 3, 2)
            picture[:, :, start : start + 16] = self.affine(post, bias, part, Rows((0,))).transpose(0, 1, 3, 2)
        for start in range(8, 8 * h - 8, 16):
            part = picture[:, start : start + 16].transpose(0, 2, 3, 1)
            picture[:, start : start + 16] = self.affine(post, bias, part, Rows((0,))).transpose(0, 3, 1, 2)
        twice = 2 * (255 * picture) + (255 + 1) * 2**frac  # 2**(frac + 1) times (255 (x / 2**frac + 1/2) + 1/2)
        return np.clip(np.floor_divide(twice, 2 ** (frac + 1)), 0, 255)


def scaled(gains: Gains, x: np.ndarray, rows: Rows) -> np.ndarray:
    """A product by channel: floor(x * factor + 1/2), where a factor has 15 bits."""
    log = np.array([[_between(column, q) for column in gains.log.T] for q in rows.levels])
    which = np.zeros(x.shape[:-1], int) if rows.which is None else rows.which
    mantissa = np.rint(2**14 * 2.0 ** (log % OCTAVE / OCTAVE)).astype(np.int64)[which]
    parts = 2 ** (14 - gains.rise - log // OCTAVE)[which]  # the factor is mantissa / parts
    return np.clip(np.floor_divide(2 * x.astype(np.int64) * mantissa + parts, 2 * parts), -ACT, ACT)


def _leaky(x: np.ndarray) -> np.ndarray:
    """x, or an eighth of it rounded halves up."""
    return np.where(x < 0, np.floor_divide(2 * x + 8, 16), x)


def _between(table: np.ndarray, quality: int) -> int:
    """Of integers at the knots, at 100 a knot: linear between them, halves up."""
    if len(table) == 1:
        return int(table[0])
    knot = min(quality // 100, len(table) - 2)
    f = Fraction(quality - 100 * knot, 100)
    value = (1 - f) * int(table[knot]) + f * int(table[knot + 1]) + Fraction(1, 2)
    return value.numerator // value.denominator


def _taps(shape: tuple[int, ...]) -> Iterator[tuple[tuple[int, int, int], tuple[int, int, int, int]]]:
    """(image, row, column), and the same of each of its neighbours that exist, with the tap's number."""
    b, h, w = shape[:3]
    for n in range(b):
        for i in range(h):
            for j in range(w):
                for t in range(9):
                    y, x = i + t // 3 - 1, j + t % 3 - 1
                    if 0 <= y < h and 0 <= x < w:
                        yield (n, i, j), (n, y, x, t)


def random_layer(
    rng: np.random.Generator,
    outputs: int,
    inputs: int,
    wide: bool = False,
    largest: int = ACT,
    high: int | None = ACT,
    knots: int = 1,
    extreme: bool = False,
) -> tuple[Affine, np.ndarray]:
    """A layer and its biases. high: the symmetric clamp of all outputs, None for any clamps. extreme: every row's weights
    as large as the bounds allow and of any sign, its bias what is left of an int32; else some rows so."""
    weight, shift, bias = [], [], []
    whole = inputs * (WIDE if wide else NARROW) < 2**17
    for _ in range(outputs):
        all_out = extreme or rng.random() < 0.3
        top = WIDE if wide else NARROW
        if all_out:  # |w| as large as may be, until their sum is 2**17 - 1
            row = np.full(inputs, top) if whole else _filled(inputs, top)
            row = rng.permutation(row) * _signs(rng, inputs)
        else:
            top = min(top, (2**17 - 1) // inputs)
            row = rng.integers(-top, top + 1, inputs)
        reach = int(np.abs(row).sum())
        room = INT32_MAX - (largest + 1) * reach
        fitting = int(np.clip(np.log2(max(np.sqrt((row**2).sum()) * largest / 2**14, 1)), 1, 24))
        s = fitting if rng.random() < 0.6 else int(rng.integers(1, 25))
        s = min(s, room.bit_length() - 1)
        room -= 2 ** (s - 1)
        size = room if all_out else min(room, 2 ** (s + 13))
        weight.append(row)
        shift.append(s)
        bias.append(rng.choice([-size, size], knots) if all_out else rng.integers(-size, size + 1, knots))
    low, top = (np.full(outputs, -1 if high is None else v * (high or 0), np.int32) for v in (-1, 1))
    if high is None:  # as heads have
        top = rng.integers(1, 2**15, outputs).astype(np.int32)
        low = np.where(rng.random(outputs) < 0.5, 0, -top).astype(np.int32)
    biases = np.array(bias, np.int32).T.copy()
    kind = np.int16 if wide else np.int8
    return Affine(np.array(weight).astype(kind), biases, np.array(shift, np.int8), low, top, largest), biases


def _filled(inputs: int, top: int) -> np.ndarray:
    """Magnitudes of that many weights whose sum is 2**17 - 1."""
    full, rest = divmod(2**17 - 1, top)
    row = np.zeros(inputs, np.int64)
    row[:full] = top
    row[full : full + 1] = rest
    return row


def _signs(rng: np.random.Generator, count: int) -> np.ndarray:
    """All +, all -, in turns, in turns by pairs, or any."""
    k = np.arange(count)
    patterns = [np.ones(count), -np.ones(count), (-1.0) ** k, (-1.0) ** (k // 2), rng.choice([-1, 1], count)]
    return patterns[rng.integers(len(patterns))].astype(np.int64)


def random_input(rng: np.random.Generator, shape: tuple[int, ...], largest: int = ACT) -> np.ndarray:
    """Activations (..., K), |x| <= largest: any, small, or at an extreme, place by place."""
    x = rng.integers(-largest, largest + 1, shape)
    small = rng.integers(-min(largest, 200), min(largest, 200) + 1, shape)
    ends = largest * _signs(rng, shape[-1]) * rng.choice([-1, 1], (*shape[:-1], 1))
    kind = rng.integers(0, 3, (*shape[:-1], 1))
    return np.where(kind == 0, x, np.where(kind == 1, small, ends)).astype(np.int16)


def random_rows(rng: np.random.Generator, shape: tuple[int, ...], several: bool) -> Rows:
    """One quality, or one of up to three at each place."""
    levels = tuple(int(q) for q in rng.choice([0, 1, 99, 100, 450, 555, 900, 999, 1000, int(rng.integers(0, 1001))], 3))
    if not several:
        return Rows(levels[:1])
    return Rows(levels, rng.integers(0, len(levels), shape).astype(np.uint8))


@contextmanager
def thread_count(count: int | None) -> Iterator[None]:
    """The number of threads, for a while."""
    before = threads.set_count(count)
    try:
        yield
    finally:
        threads.set_count(before)
