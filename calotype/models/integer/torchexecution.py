"""Executions on torch arrays, on any device that torch has: integers in torch._int_mm, or carried in float32.

Activations are split as x = 128 hi + lo, wide weights as w = 64 hi + lo, each half int8 (weights are the right operand, at
most 63 and 64: CPUs without VNNI add pairs of products in int16). float32 products of a half of x sum below 2**24, which is
exact in any order; no convolution and no TF32 come near them. What is left is integer arithmetic of torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ... import threads
from ..grids import ACT_MAX, LEAK_SHIFT
from .executions import LEAK_HALF, TABLE_MIDDLE, Execution
from .layers import ONE, Affine, Gains, Rows

INT_MM_UNIT = 16  # CUDA's _int_mm takes more than 16 rows, and inputs and outputs in multiples of 8


class TorchExecution(Execution):
    """kind: "int8", "float" or "compiled". Arrays are int16 tensors on `device`, NHWC."""

    def __init__(self, device: str = "cpu", kind: str = "float"):
        threads.apply()
        self.device, self.kind = torch.device(device), kind
        self._weights: dict[int, tuple[Affine, Any]] = {}
        self._finish = torch.compile(_finish, dynamic=True) if kind == "compiled" else _finish
        self._carry = torch.compile(_carry, dynamic=True) if kind == "compiled" else _carry

    def array(self, x: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(x)).to(self.device)

    def numpy(self, x: Any) -> np.ndarray:
        return x.cpu().numpy()

    def affine(self, layer: Affine, x: Tensor, rows: Rows = ONE, leaky: bool = False, skip: Tensor | None = None) -> Tensor:
        outputs, inputs = layer.weight.shape
        flat = x.reshape(-1, inputs)
        right, shift, low, high = self._kept(layer)
        total = self._int_mm(layer, flat, right)[:, :outputs] if self.kind == "int8" else self._float_mm(layer, flat, right)
        bias = self.array(layer.bias_at(rows.levels))
        bias = bias[0] if rows.which is None or len(bias) == 1 else bias[self._which(rows)]
        out = self._finish(total + bias, shift, low, high)
        out = torch.maximum(out, (out + LEAK_HALF) >> LEAK_SHIFT) if leaky else out
        out = out.reshape(*x.shape[:-1], outputs)
        return out.to(torch.int16) if skip is None else (out + skip).clamp(-ACT_MAX, ACT_MAX).to(torch.int16)

    def depthwise(self, layer: Affine, x: Tensor) -> Tensor:
        weight = self.array(layer.weight.astype(np.int32))
        total = self.array(layer.bias_at((0,))[0])
        for t, part in enumerate(self.neighbours(x.to(torch.int32))):
            total = total + part * weight[:, t]
        return self._finish(total, *self._kept(layer)[1:]).to(torch.int16)

    def scale(self, gains: Gains, x: Tensor, rows: Rows) -> Tensor:
        mantissa, shift = (self.array(v) for v in gains.at(rows.levels))
        if rows.which is not None:
            which = self._which(rows)
            mantissa, shift = (v[which].reshape(x.shape) for v in (mantissa, shift))
        total = x.to(torch.int32) * mantissa + (torch.ones_like(shift) << (shift - 1))
        return (total >> shift).clamp(-ACT_MAX, ACT_MAX).to(torch.int16)

    def look_up(self, table: np.ndarray, x: Tensor) -> Tensor:
        return self.array(table)[x.to(torch.int64) + TABLE_MIDDLE]

    def product(self, a: Tensor, b: Tensor, shift: int) -> Tensor:
        total = a.to(torch.int32) * b.to(torch.int32) + (1 << (shift - 1))
        return (total >> shift).clamp(-ACT_MAX, ACT_MAX).to(torch.int16)

    def add(self, a: Tensor, b: Tensor) -> Tensor:
        return (a + b).clamp(-ACT_MAX, ACT_MAX)

    @staticmethod
    def concatenate(parts: Sequence[Tensor], axis: int) -> Tensor:
        return torch.cat(list(parts), axis)

    @staticmethod
    def permute(x: Tensor, axes: Sequence[int]) -> Tensor:
        return x.permute(*axes)

    @staticmethod
    def pad(x: Tensor) -> Tensor:
        return torch.nn.functional.pad(x, (0, 0, 1, 1, 1, 1))

    def _which(self, rows: Rows) -> Tensor:
        return self.array(rows.which.astype(np.int64)).reshape(-1)

    def _kept(self, layer: Affine) -> tuple[Any, Tensor, Tensor, Tensor]:
        """(right operands, shift, low, high) on the device; made once."""
        if id(layer) not in self._weights:
            rest = [self.array(v.astype(np.int32)) for v in (layer.shift, layer.low, layer.high)]
            self._weights[id(layer)] = layer, (self._right(layer), *rest)
        return self._weights[id(layer)][1]

    def _right(self, layer: Affine) -> Any:
        weight = layer.weight.T.astype(np.int16)
        if self.kind != "int8":
            return self.array(weight.astype(np.float32))
        weight = np.pad(weight, [(0, -n % INT_MM_UNIT) for n in weight.shape])
        high = (weight + 32) >> 6 if layer.wide else np.zeros_like(weight)
        halves = [high, weight - 64 * high] if layer.wide else [weight]
        return [self.array(half.astype(np.int8)) for half in halves]

    def _int_mm(self, layer: Affine, x: Tensor, right: list[Tensor]) -> Tensor:
        count, inputs = x.shape
        unit = (0, -inputs % INT_MM_UNIT, 0, max(-count % INT_MM_UNIT, 2 * INT_MM_UNIT - count))
        x = torch.nn.functional.pad(x, unit)
        halves = [x.to(torch.int8)] if layer.largest < 128 else [(x >> 7).to(torch.int8), (x & 127).to(torch.int8)]
        total: Any = 0  # may pass 2**31 on the way with wide weights: int32 wraps, and the end is below (`Affine`)
        for weight in right:
            products = [torch._int_mm(half, weight) for half in halves]
            total = 64 * total + (products[0] if len(products) == 1 else products[0] * 128 + products[1])
        return total[:count]

    def _float_mm(self, layer: Affine, x: Tensor, right: Tensor) -> Tensor:
        with _whole_floats(self.device.type):
            if (layer.largest + 1) * layer.reach <= 2**24:
                return self._carry(x, right)
            return self._carry(x >> 7, right) * 128 + self._carry(x & 127, right)


@contextmanager
def _whole_floats(device: str) -> Iterator[None]:
    """float32 products with all of their 24 bits, whatever the caller has told torch: no autocast, no TF32."""
    before = torch.get_float32_matmul_precision()
    if before != "highest":
        torch.set_float32_matmul_precision("highest")
    try:
        with torch.autocast(device, enabled=False):
            yield
    finally:
        if before != "highest":
            torch.set_float32_matmul_precision(before)


def _carry(x: Tensor, right: Tensor) -> Tensor:
    """Integers times integers in float32, every sum below 2**24."""
    return (x.to(torch.float32) @ right).to(torch.int32)


def _finish(total: Tensor, shift: Tensor, low: Tensor, high: Tensor) -> Tensor:
    return torch.minimum(torch.maximum(total >> shift, low), high)
