"""A stack's integers, and a grid's, to bytes and back, by the weight coder (entropy/weights.py).

fractions, weights or differences to those of the group before, grid symbols -> one stream of the weight coder
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...entropy.weights import WeightDecoder, WeightEncoder
from .stack import BIAS_FRACTION, BIAS_TOP, FRACTION_TOP, WEIGHT_TOP, Layer, Shape

Stack = list[Layer]


class Writer:
    """Codes integers. seen: as they were coded, int32, for the symbol hash; bits: what they take by the coder's own models."""

    def __init__(self) -> None:
        self._coder = WeightEncoder()
        self.seen: list[np.ndarray] = []
        self.bits = 0.0

    def put(self, values: np.ndarray) -> None:
        """Code integers, (rows, columns)."""
        self.bits += self._coder.bits(values)
        self._coder.encode(values)
        self.seen.append(_clipped(values))

    def cost(self, values: np.ndarray) -> float:
        """Bits that `put` would add."""
        return self._coder.bits(values)

    def finish(self) -> bytes:
        """The stream."""
        return self._coder.finish()


class Reader:
    """Gives back the integers of a Writer. seen: as of that."""

    def __init__(self, data: bytes | memoryview):
        self._coder = WeightDecoder(bytes(data))
        self.seen: list[np.ndarray] = []

    def pull(self, rows: int, columns: int) -> np.ndarray:
        """int64 (rows, columns). Raises CorruptStreamError where the stream ends early."""
        values = self._coder.decode(rows, columns)
        self.seen.append(_clipped(values))
        return values

    def finish(self) -> None:
        """Raises CorruptStreamError unless the stream ends here."""
        self._coder.finish()


def write_stack(writer: Writer, layers: Stack, before: Stack | None) -> None:
    """Code layers, or with `before`, of the same shapes and fractions, what they differ by."""
    if before is None:
        writer.put(np.array([[layer.fraction for layer in layers]]))
    for number, layer in enumerate(layers):
        base = before[number] if before else None
        writer.put(layer.weights - (base.weights if base else 0))
        writer.put((layer.bias - (base.bias if base else 0))[None])


def read_stack(reader: Reader, shapes: Sequence[Shape], before: Stack | None) -> Stack:
    """What `write_stack` coded. Raises CorruptStreamError."""
    fractions = [layer.fraction for layer in before] if before else reader.pull(1, len(shapes))[0].tolist()
    layers = []
    for number, (shape, fraction) in enumerate(zip(shapes, fractions, strict=True)):
        base = before[number] if before else None
        weights = reader.pull(shape.rows, shape.columns) + (base.weights if base else 0)
        bias = reader.pull(1, shape.rows)[0] + (base.bias if base else 0)
        layers.append(Layer(shape, fraction, weights, bias).checked())
    return layers


def levels(shape: Shape, weights: np.ndarray, bias: np.ndarray, fraction: int) -> Layer:
    """The layer of real weights (rows, columns) and bias (rows,), rounded."""
    fraction = min(max(fraction, 0), FRACTION_TOP)
    whole = np.clip(np.rint(weights.astype(np.float64) * 2.0**fraction), -WEIGHT_TOP, WEIGHT_TOP)
    offsets = np.clip(np.rint(bias.astype(np.float64) * (1 << BIAS_FRACTION)), -BIAS_TOP, BIAS_TOP)
    return Layer(shape, fraction, whole.astype(np.int64), offsets.astype(np.int64))


def _clipped(values: np.ndarray) -> np.ndarray:
    """What does not fit int32 is refused elsewhere."""
    return np.ascontiguousarray(np.clip(values, -(2**31), 2**31 - 1), np.int32)
