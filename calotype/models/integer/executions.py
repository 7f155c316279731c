"""Executions of one arithmetic: what runs the layers of `layers.py`. Arrays between layers are int16, NHWC.

kernel      numba and LLVM vector code (`tile.py`), fused and threaded: the fast one, on every CPU
int8        torch._int_mm on the int8 halves of activations and weights; CPU or CUDA (`torchexecution.py`)
float       torch float32 products of integers below 2**24; any device that torch has
compiled    `float` through torch.compile
reference   numpy in int64, for reading and for checking
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...errors import ModelError
from ..grids import ACT_MAX, FEATURE_MAX, LEAK_SHIFT
from ..priorgraph import LINEAR_CHANNELS, MEAN_FRAC
from .layers import ONE, Affine, BlockLayers, Gains, Rows
from .places import LOG_TABLE_SIZE, Places, log_table

TABLE_MIDDLE = 1 << 14
LEAK_HALF = 1 << (LEAK_SHIFT - 1)
ON_DEVICE = {"int8", "float", "compiled"}


class Execution:
    """Everything that follows from `affine`, `depthwise`, `scale`, `look_up` and `product`; here on numpy arrays."""

    def array(self, x: np.ndarray) -> Any:
        """To this execution's own kind of array."""
        return x

    def numpy(self, x: Any) -> np.ndarray:
        """Back from it."""
        return x

    def affine(self, layer: Affine, x: Any, rows: Rows = ONE, leaky: bool = False, skip: Any = None) -> Any:
        """1x1: int16 (..., K) -> int16 (..., O); then leaky ReLU of slope 1/8, rounded, then the saturating sum with `skip`."""
        raise NotImplementedError

    def depthwise(self, layer: Affine, x: Any) -> Any:
        """3x3 by channel, zero beyond the edges: (B, h, w, C) -> the same. The layer's weight is (C, 9)."""
        raise NotImplementedError

    def scale(self, gains: Gains, x: Any, rows: Rows) -> Any:
        """(..., C) int16 times the gains of each row's quality."""
        raise NotImplementedError

    def look_up(self, table: np.ndarray, x: Any) -> Any:
        """Any function of one activation: table int16 (2**15,), by value + 2**14."""
        raise NotImplementedError

    def product(self, a: Any, b: Any, shift: int) -> Any:
        """Gated product: clamp((a * b + 2**(shift - 1)) >> shift)."""
        raise NotImplementedError

    def add(self, a: Any, b: Any) -> Any:
        """Saturating sum: two 15-bit activations never pass int16."""
        return (a + b).clip(-ACT_MAX, ACT_MAX)

    def conv3x3(self, layer: Affine, x: Any, rows: Rows = ONE, leaky: bool = False) -> Any:
        """Dense 3x3, zero beyond the edges: (B, h, w, K) -> (B, h, w, O). The layer's weight is (O, 9 K), tap by tap."""
        return self.affine(layer, self.concatenate(self.neighbours(x), -1), rows, leaky)

    def block(self, layers: BlockLayers, x: Any) -> Any:
        """(B, h, w, C) -> the same: x + shrink(activation(grow(dw(x))))."""
        y = self.affine(layers.grow, self.depthwise(layers.dw, x), leaky=layers.table is None)
        if layers.table is not None:
            y = self.look_up(layers.table, y)
        return self.affine(layers.shrink, y, skip=x)

    def expand(self, layers: Sequence[Affine], x: Any) -> Any:
        """1x1 and pixel shuffle by 2: (B, h, w, K) -> (B, 2 h, 2 w, O); a layer for each place of the 2x2 cell."""
        b, h, w, _ = x.shape
        y = self.concatenate([self.affine(layer, x) for layer in layers], -1).reshape(b, h, w, 2, 2, -1)
        return self.permute(y, (0, 1, 3, 2, 4, 5)).reshape(b, 2 * h, 2 * w, -1)

    def paint(self, post: Affine, frac: int, x: Any) -> np.ndarray:
        """Pixel shuffle by 8 (channel, row, column), border filter along rows, then columns, and pixels.

        x (B, h, w, 192) in 2**-frac, 0 being mid-grey; post: the 16x16 filter -> (B, 8 h, 8 w, 3) uint8.
        """
        b, h, w, _ = x.shape
        x = self.permute(x.reshape(b, h, w, 3, 8, 8), (0, 3, 1, 4, 2, 5)).reshape(b, 3, 8 * h, 8 * w)
        for axes in ((0, 1, 2, 3), (0, 1, 3, 2)):
            x = self.permute(x, axes)
            if x.shape[3] > 16:
                core = self.affine(post, x[..., 8:-8].reshape(*x.shape[:3], -1, 16)).reshape(*x.shape[:3], -1)
                x = self.concatenate([x[..., :8], core, x[..., -8:]], -1)
        return self.pixels(self.permute(x, (0, 3, 2, 1)), frac)

    def pixels(self, x: Any, frac: int) -> np.ndarray:
        """255 * (x / 2**frac + 1/2), rounded and clipped: (B, H, W, C) uint8."""
        x = self.numpy(x).astype(np.int32) * 255 + ((255 + 1) << (frac - 1))
        return (x >> frac).clip(0, 255).astype(np.uint8)

    def neighbours(self, x: Any) -> list[Any]:
        """The nine neighbours of each place, row by row, zero beyond the edges: (B, h, w, C) each."""
        _, h, w, _ = x.shape
        padded = self.pad(x)
        return [padded[:, i : i + h, j : j + w] for i in range(3) for j in range(3)]

    def absorb(self, at: Places, mean: np.ndarray, symbol: np.ndarray, value: np.ndarray, context: np.ndarray) -> None:
        """Write a decoded step, (G, P h/2, w/2, C), into value (h, w, M) and context (h, w, 2 M + LINEAR_CHANNELS)."""
        m, top = value.shape[-1], LOG_TABLE_SIZE - 1
        for g, offsets in enumerate(at.offsets):
            channels = at.start[g] + at.stride[g] * np.arange(mean.shape[-1])
            linear = channels[channels < LINEAR_CHANNELS]
            parts = zip(np.split(mean[g], len(offsets)), np.split(symbol[g], len(offsets)), offsets, strict=True)
            for part, count, (i, j) in parts:
                v = part.astype(np.int32) + (count << MEAN_FRAC)
                here = context[i::2, j::2]
                value[i::2, j::2, channels] = v
                here[..., channels] = np.sign(v) * log_table()[np.minimum(np.abs(v), top)]
                here[..., m + channels] = log_table()[np.minimum(np.abs(count), top >> MEAN_FRAC) << MEAN_FRAC]
                here[..., 2 * m + linear] = np.clip((v[..., : len(linear)] + 2) >> 2, -FEATURE_MAX, FEATURE_MAX)

    @staticmethod
    def concatenate(parts: Sequence[Any], axis: int) -> Any:
        """Along one axis."""
        return np.concatenate(parts, axis)

    @staticmethod
    def permute(x: Any, axes: Sequence[int]) -> Any:
        """With its axes in another order."""
        return x.transpose(axes)

    @staticmethod
    def pad(x: Any) -> Any:
        """One zero around rows and columns of (B, h, w, C)."""
        return np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))


class Reference(Execution):
    """Plain integers (numpy int64, no BLAS, no numba): slow."""

    def affine(self, layer: Affine, x: np.ndarray, rows: Rows = ONE, leaky: bool = False, skip: Any = None) -> np.ndarray:
        bias = layer.bias_at(rows.levels)
        bias = bias[0] if rows.which is None or len(bias) == 1 else bias[rows.which].reshape(*x.shape[:-1], -1)
        total = x.astype(np.int64) @ layer.weight.T.astype(np.int64) + bias
        return _finished(np.clip(total >> layer.shift, layer.low, layer.high), leaky, skip)

    def depthwise(self, layer: Affine, x: np.ndarray) -> np.ndarray:
        near = self.neighbours(x.astype(np.int64))
        total = sum(part * layer.weight[:, t].astype(np.int64) for t, part in enumerate(near))
        return np.clip((total + layer.bias_at((0,))[0]) >> layer.shift, layer.low, layer.high).astype(np.int16)

    def scale(self, gains: Gains, x: np.ndarray, rows: Rows) -> np.ndarray:
        mantissa, shift = (v.astype(np.int64) for v in gains.at(rows.levels))
        if rows.which is not None:
            mantissa, shift = (v[rows.which].reshape(x.shape) for v in (mantissa, shift))
        return _clamped((x * mantissa + (1 << (shift - 1))) >> shift)

    def look_up(self, table: np.ndarray, x: np.ndarray) -> np.ndarray:
        return table[x.astype(np.int64) + TABLE_MIDDLE]

    def product(self, a: np.ndarray, b: np.ndarray, shift: int) -> np.ndarray:
        return _clamped((a.astype(np.int64) * b + (1 << (shift - 1))) >> shift)


def _clamped(x: np.ndarray) -> np.ndarray:
    return x.clip(-ACT_MAX, ACT_MAX).astype(np.int16)


def _finished(x: np.ndarray, leaky: bool, skip: np.ndarray | None) -> np.ndarray:
    """The end of an affine layer: activation, residual."""
    x = np.maximum(x, (x + LEAK_HALF) >> LEAK_SHIFT) if leaky else x
    return x.astype(np.int16) if skip is None else _clamped(x + skip)


EXECUTIONS = ("kernel", "int8", "float", "compiled", "reference")
DEFAULT = "kernel"


def default_execution(device: str) -> str:
    """The execution of the synthesis on a device: `int8` on CUDA, `float` on others, the kernels on the CPU."""
    return DEFAULT if device == "cpu" else "int8" if device.startswith("cuda") else "float"


def make_execution(name: str | None = None, device: str = "cpu") -> Any:
    """An execution by name; without one, the kernels. device: of `int8`, `float`, `compiled`.

    Raises ModelError for an unknown name.
    """
    name = name or DEFAULT
    if name in ON_DEVICE:
        from .torchexecution import TorchExecution

        return TorchExecution(device, name)
    if name not in EXECUTIONS:
        raise ModelError(f"no integer execution '{name}': there are {', '.join(EXECUTIONS)}")
    if name == "reference":
        return Reference()
    from .kernelexecution import Kernel

    return Kernel()
