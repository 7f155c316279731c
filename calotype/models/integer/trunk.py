"""What the integer nets have in common: the arrays of their layers, and the trunks that residual blocks make."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ...errors import ModelError
from ..grids import ACT_MAX
from ..priorgraph import KNOTS
from .layers import GAIN_FRAC, MAX_SHIFT, Affine, BlockLayers

Layout = dict[str, tuple[np.dtype, tuple[int, ...]]]
LEAST_FRAC = -8  # fractional bits of a grid: `wsilu_table` is tested from there on


def block_shapes(prefix: str, width: int, count: int) -> dict[str, tuple[int, ...]]:
    """Shapes of the weights of a trunk's blocks."""
    shapes: dict[str, tuple[int, ...]] = {}
    for k in range(count):
        name = f"{prefix}blocks.{k}"
        shapes |= {f"{name}.depthwise": (width, 9), f"{name}.grow": (2 * width, width), f"{name}.shrink": (width, 2 * width)}
    return shapes


def layout_of(layers: Mapping[str, tuple[int, ...]], gains: Mapping[str, int], trunks: Mapping[str, tuple[int, int]]) -> Layout:
    """Type and shape of each array of a net; weights may be int8 or int16, and are int16 here.

    layers: shapes of weights; gains: channels by name; trunks: by prefix, (blocks, how many grids of 2**-frac besides theirs).
    """
    layout: Layout = {}
    for name, shape in layers.items():
        layout[f"{name}.weight"] = np.dtype(np.int16), shape
        layout[f"{name}.bias"] = np.dtype(np.int32), (1, shape[0])
        layout[f"{name}.shift"] = np.dtype(np.int8), shape[:1]
    for name, channels in gains.items():
        layout[f"gain.{name}"] = np.dtype(np.int32), (KNOTS, channels)
    for prefix, (blocks, others) in trunks.items():
        layout[f"{prefix}frac"] = np.dtype(np.int8), (others + 2 * blocks,)
        layout[f"{prefix}limit"] = np.dtype(np.int16), (2 * blocks,)
    return layout


def check(arrays: Mapping[str, np.ndarray], layout: Layout) -> None:
    """Raise ModelError unless these are the arrays of that layout, with grids and ranges that activations can have."""
    found = {}
    for name, array in arrays.items():
        narrow = name.endswith(".weight") and array.dtype == np.int8
        found[name] = np.dtype(np.int16) if narrow else array.dtype, array.shape
    if found != layout:
        raise ModelError("the arrays of an integer net are not those of its config: the model file is damaged")
    for name, array in arrays.items():
        if name.endswith("limit") and not all(0 < int(v) <= ACT_MAX for v in array):
            raise ModelError("an activation's range is none: the model file is damaged")
        if name.endswith("frac") and not all(LEAST_FRAC <= int(v) <= MAX_SHIFT for v in array):
            raise ModelError("an activation's grid is none: the model file is damaged")


def read_layers(arrays: Mapping[str, np.ndarray], trunks: Mapping[str, int]) -> dict[str, Affine]:
    """The layers by name; trunks: number of blocks by prefix. Raises ModelError where a bound does not hold."""
    inner: dict[str, int] = {}
    before: dict[str, int] = {}
    for prefix, count in trunks.items():
        limits = [int(v) for v in arrays[f"{prefix}limit"]]
        for k in range(count):
            name = f"{prefix}blocks.{k}"
            for part, after, limit in zip(("depthwise", "grow"), ("grow", "shrink"), limits[2 * k : 2 * k + 2], strict=True):
                inner[f"{name}.{part}"] = before[f"{name}.{after}"] = limit
    layers = {}
    for name in sorted({key.rsplit(".", 1)[0] for key in arrays if key.endswith(".weight")}):
        high = np.full(len(arrays[f"{name}.shift"]), inner.get(name, ACT_MAX), np.int32)
        parts = (arrays[f"{name}.{part}"] for part in ("weight", "bias", "shift"))
        layers[name] = Affine(*parts, -high, high, before.get(name, ACT_MAX))
    return layers


def float_layer(
    arrays: Mapping[str, np.ndarray], name: str, before: int, after: int, shape: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """The float32 weight, of that shape, and bias that a layer between grids of 2**-before and 2**-after stands for."""
    bits = arrays[f"{name}.shift"].astype(np.float64) + after - before  # fractional bits of the weights
    weight = (arrays[f"{name}.weight"] * 2.0 ** -bits[:, None]).astype(np.float32).reshape(shape)
    return weight, (arrays[f"{name}.bias"][0] * 2.0 ** -(bits + before)).astype(np.float32)


def float_blocks(
    arrays: Mapping[str, np.ndarray], prefix: str, target: str, width: int, stream: int, inner: Sequence[int]
) -> dict[str, np.ndarray]:
    """As `float_layer`, of a trunk's blocks, by names of a float model under `target`. inner: two grids a block."""
    out = {}
    for k in range(len(inner) // 2):
        first, second = inner[2 * k : 2 * k + 2]
        for part, before, after, shape in (
            ("depthwise", stream, first, (width, 1, 3, 3)),
            ("grow", first, second, (2 * width, width, 1, 1)),
            ("shrink", second, stream, (width, 2 * width, 1, 1)),
        ):
            name = f"{target}blocks.{k}.{part}"
            found = float_layer(arrays, f"{prefix}blocks.{k}.{part}", before, after, shape)
            out[f"{name}.weight"], out[f"{name}.bias"] = found
    return out


def float_gain(log: np.ndarray) -> np.ndarray:
    """The natural logarithms of gains stored in 2**-GAIN_FRAC of an octave, float32."""
    return (log * (np.log(2) / (1 << GAIN_FRAC))).astype(np.float32)


def blocks_of(layers: Mapping[str, Affine], prefix: str, count: int) -> list[BlockLayers]:
    """The blocks of a trunk, with leaky ReLU."""
    parts = ("depthwise", "grow", "shrink")
    return [BlockLayers(*(layers[f"{prefix}blocks.{k}.{part}"] for part in parts)) for k in range(count)]


def expanding(whole: Affine) -> list[Affine]:
    """A 1x1 layer before a pixel shuffle by 2, as `Execution.expand` takes it: a layer for each place of the 2x2 cell."""
    return [Affine(whole.weight[p::4], whole.bias[:, p::4], whole.shift[p::4]) for p in range(4)]
