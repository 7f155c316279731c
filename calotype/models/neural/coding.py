"""A stack's integers, and a grid's, to bytes and back, by the weight coder (entropy/weights.py).

shapes, fractions, weights or differences to those of the group before, grid symbols -> one stream of the weight coder
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ...entropy.weights import WeightDecoder, WeightEncoder
from .stack import BIAS_TOP, FRACTION_TOP, WEIGHT_TOP, Layer, Shape

Stack = list[Layer]


def encode_stack(encoder: WeightEncoder, layers: Stack, before: Stack | None) -> Iterator[np.ndarray]:
    """Code layers, or with `before`, of the same shapes and fractions, what they differ by; gives what was coded, int32."""
    if before is None:
        fractions = np.array([[layer.fraction for layer in layers]])
        yield _coded(encoder, fractions)
    for number, layer in enumerate(layers):
        base = before[number] if before else None
        yield _coded(encoder, layer.weights - (base.weights if base else 0))
        yield _coded(encoder, (layer.bias - (base.bias if base else 0))[None])


def decode_stack(decoder: WeightDecoder, shapes: Sequence[Shape], before: Stack | None) -> tuple[Stack, list[np.ndarray]]:
    """What `encode_stack` coded: the layers, and the integers as they were coded. Raises CorruptStreamError."""
    seen: list[np.ndarray] = []

    def pull(rows: int, columns: int) -> np.ndarray:
        values = decoder.decode(rows, columns)
        seen.append(clipped(values))
        return values

    fractions = [layer.fraction for layer in before] if before else pull(1, len(shapes))[0].tolist()
    layers = []
    for number, (shape, fraction) in enumerate(zip(shapes, fractions, strict=True)):
        base = before[number] if before else None
        weights = pull(shape.rows, shape.columns) + (base.weights if base else 0)
        bias = pull(1, shape.rows)[0] + (base.bias if base else 0)
        layers.append(Layer(shape, fraction, weights, bias).checked())
    return layers, seen


def clipped(values: np.ndarray) -> np.ndarray:
    """int32, for the symbol hash; what does not fit is refused elsewhere."""
    return np.ascontiguousarray(np.clip(values, -(2**31), 2**31 - 1), np.int32)


def _coded(encoder: WeightEncoder, values: np.ndarray) -> np.ndarray:
    encoder.encode(values)
    return clipped(values)


def levels(layer: Shape, weights: np.ndarray, bias: np.ndarray, fraction: int) -> Layer:
    """The layer of real weights (rows, columns) and bias (rows,), rounded."""
    fraction = min(max(fraction, 0), FRACTION_TOP)
    whole = np.clip(np.rint(weights.astype(np.float64) * 2.0**fraction), -WEIGHT_TOP, WEIGHT_TOP)
    offsets = np.clip(np.rint(bias.astype(np.float64) * 256), -BIAS_TOP, BIAS_TOP)
    return Layer(layer, fraction, whole.astype(np.int64), offsets.astype(np.int64))
