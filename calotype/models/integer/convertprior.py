"""Between the trained prior (torch) and its integers."""

from __future__ import annotations

import numpy as np
import torch

from ..fakequant import weight_frac_bits
from ..grids import WEIGHT_MAX
from ..prior import Prior
from .prior import IntegerPrior, input_frac, shift_of


def float_prior(prior: IntegerPrior) -> Prior:
    """The differentiable net of an integer prior: its very weights and biases, activations on its grids (torch)."""
    net = Prior(prior.config)
    for name, layer in net.named_children():
        parts = prior.layers[name]
        grid = input_frac(name)
        frac = np.stack([p.shift.astype(np.float64) for p in parts]) - shift_of(name, np.zeros(parts[0].shift.shape))
        half = [1 << (p.shift.astype(np.int64) - 1) for p in parts]
        weight = np.stack([p.weight for p in parts]) * 2.0 ** -frac[..., None]
        bias = np.stack([p.rounded_bias - h for p, h in zip(parts, half, strict=True)], 1) * 2.0 ** -(frac + grid)
        layer.weight.data = torch.from_numpy(weight).float().view(layer.weight.shape)
        if hasattr(layer, "bias"):
            layer.bias.data = torch.from_numpy(bias).float().view(layer.bias.shape)
    return net.requires_grad_(False)


def integer_arrays(prior: Prior) -> dict[str, np.ndarray]:
    """Read the integers off a trained prior: `name.weight` int8, `name.bias` int32, `name.shift` int8.

    The scale of each row is a power of two, so requantisation is one shift; heads give means in 1/16 and whole indices.
    """
    arrays = {}
    names = [n for n, _ in prior.named_children()]
    for name in names:
        layer = getattr(prior, name)
        w = layer.weight.detach().double().cpu()
        frac = weight_frac_bits(layer.weight).double().cpu()  # (..., O, 1)
        integers = (w * torch.exp2(frac)).round().clamp(-WEIGHT_MAX, WEIGHT_MAX)
        frac = frac[..., 0]
        bias = getattr(layer, "bias", None)
        bias = torch.zeros(1, *frac.shape, dtype=torch.float64) if bias is None else bias.detach().double().cpu()
        arrays[f"{name}.weight"] = integers.numpy().astype(np.int8)
        arrays[f"{name}.bias"] = (bias * torch.exp2(frac + input_frac(name))).round().numpy().astype(np.int32)
        arrays[f"{name}.shift"] = shift_of(name, frac.numpy()).astype(np.int8)
    return arrays
