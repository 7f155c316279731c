"""The stack of stack.py in floats, as it is fitted: rounded weights with gradients that pass through. Imports torch."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .coding import Stack, levels
from .stack import ACT_FRACTION, ACT_TOP, BIAS_FRACTION, FRACTION_TOP, LEAK_SHIFT, LEVEL_FRACTION, Shape

STEP = 0.3  # of a layer's weights, in their standard deviation
FINER = 2  # times, the last layer's
SKIP_START = 0.3  # of other layers' random weights, those of layers that add to their input
_TOP = (ACT_TOP + 1) / (1 << ACT_FRACTION)


class FitNet(nn.Module):
    """Layers in floats, whose weights are rounded from `fix` on."""

    def __init__(self, shapes: Sequence[Shape], base: Stack | None = None, random: torch.Generator | None = None):
        """base: the layers of the group before, from which this one starts; else it does from random weights."""
        super().__init__()
        self.shapes, self.base = shapes, base
        self.fractions: list[int] | None = [layer.fraction for layer in base] if base else None
        self.rounding = False
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        for number, shape in enumerate(shapes):
            if base:
                weight = torch.from_numpy(base[number].weights * 2.0 ** -base[number].fraction).float()
                bias = torch.from_numpy(base[number].bias / (1 << BIAS_FRACTION)).float()
            else:
                weight = torch.randn(shape.rows, shape.columns, generator=random) * math.sqrt(2 / shape.columns)
                if shape.skip:
                    weight *= SKIP_START
                bias = torch.zeros(shape.rows)
            self.weights.append(nn.Parameter(weight))
            self.biases.append(nn.Parameter(bias))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) activations to (B, outputs, H, W) levels."""
        for number, shape in enumerate(self.shapes):
            weight, before = self.weights[number], x
            if self.rounding and self.fractions is not None:
                weight = rounded(weight, 2.0 ** -self.fractions[number])
            if shape.kernel == shape.up == 1:  # no convolution is as fast
                flat = torch.baddbmm(self.biases[number][:, None], weight.expand(len(x), -1, -1), x.flatten(2))
                x = flat.unflatten(2, x.shape[2:])
            else:
                weight = weight.view(shape.rows, shape.inputs, shape.kernel, shape.kernel)
                x = F.pixel_shuffle(F.conv2d(x, weight, self.biases[number], padding=shape.kernel // 2), shape.up)
            if number < len(self.shapes) - 1:
                x = F.leaky_relu(x, 2.0**-LEAK_SHIFT)
                x = (x + before if shape.skip else x).clamp(-_TOP, _TOP)
        return x * (1 << LEVEL_FRACTION)

    def fix(self) -> None:
        """Round weights from now on; the fractions are those of the base, or chosen from the weights as they are."""
        self.rounding = True
        if self.fractions is None:
            last = len(self.shapes) - 1
            steps = [float(w.detach().std()) * STEP / (FINER if n == last else 1) for n, w in enumerate(self.weights)]
            self.fractions = [min(max(round(-math.log2(max(s, 1e-9))), 0), FRACTION_TOP) for s in steps]

    def bits(self) -> Tensor:
        """About what the weights, or their differences to the base, take: as if each layer's followed a Laplace
        distribution of its own mean magnitude. 0 before `fix`."""
        total = torch.zeros((), device=self.weights[0].device)
        if not self.rounding or self.fractions is None:
            return total
        for number, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            units = weight * 2.0 ** self.fractions[number]
            offsets = bias * (1 << BIAS_FRACTION)
            if self.base:
                units = units - torch.from_numpy(self.base[number].weights).to(units)
                offsets = offsets - torch.from_numpy(self.base[number].bias).to(units)
            total = total + laplace_bits(units) + laplace_bits(offsets)
        return total

    def layers(self) -> Stack:
        """In integers, rounded."""
        self.fix()
        assert self.fractions is not None
        parts = zip(self.shapes, self.weights, self.biases, self.fractions, strict=True)
        return [levels(s, w.detach().cpu().numpy(), b.detach().cpu().numpy(), f) for s, w, b, f in parts]


def laplace_bits(units: Tensor, dims: tuple[int, ...] | None = None) -> Tensor:
    """About the bits of integers near `units`, in groups over `dims`: N log2(1 + 2 e mean |units|)."""
    mean = units.abs().mean() if dims is None else units.abs().mean(dims)
    return torch.log2(1 + 2 * math.e * mean).sum() * (units.numel() / max(mean.numel(), 1))


def rounded(x: Tensor, step: float) -> Tensor:
    """To multiples of a step; the gradient is that of x."""
    return x + (torch.round(x / step) * step - x).detach()


def to_float(grid: np.ndarray) -> Tensor:
    """(1, C, h, w) activations in floats of integers (h, w, C)."""
    return torch.from_numpy(np.ascontiguousarray(grid.transpose(2, 0, 1)[None])).float() / (1 << ACT_FRACTION)
