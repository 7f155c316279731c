"""A filter's nets with weights of its own for each picture of a batch: the function of models/overfit/net.py.

Channels last and of few plain operations, so that `torch.compile` makes a training step take 0.4 of what the twin's takes on a
CPU; without it, it takes more.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..models.overfit.cellnet import CellNet
from ..models.overfit.net import TOP, SynthesisNet
from ..models.overfit.sizes import PLANES

Weights = dict[str, Tensor]  # (n, *shape), by the names of parameters of `SynthesisNet`


def filtered(net: SynthesisNet, planes: Tensor, weights: Weights) -> Tensor:
    """Planes (n, 3, H, W) in steps, sides multiples of the nets' cells, filtered, each with its own weights. net: which nets
    there are."""
    for part in ("coarse", "fine"):
        twin = getattr(net, part)
        if twin is None:
            continue
        own = {twin.own(name): weights[f"{part}.{twin.own(name)}"] for name in twin.net.shapes()}
        planes = planes + _added(twin.net, planes, own)
    return planes


def _added(net: CellNet, planes: Tensor, weights: Weights) -> Tensor:
    n, _, height, width = planes.shape
    side, h, w = net.side, height // net.side, width // net.side
    cells = planes.reshape(n, PLANES, h, side, w, side).permute(0, 2, 4, 1, 3, 5).reshape(n, h, w, PLANES, side**2)
    means = _wide(cells.mean(4))
    around = sum(_moved(means, i, h, w) for i in range(9)) / 9
    x = (cells - around[..., None]).clamp(-TOP, TOP).reshape(n, h, w, net.inputs)
    x = _leaky(_mixed(x, weights, "enter"))
    for spread, mix in zip(net.spreads, net.mixes, strict=False):
        x = _leaky(_mixed(_spread(x, weights, spread), weights, mix))
    x = _mixed(_spread(x, weights, net.spreads[-1]), weights, "leave")
    return x.reshape(n, h, w, PLANES, side, side).permute(0, 3, 1, 4, 2, 5).reshape(n, PLANES, height, width)


def _leaky(x: Tensor) -> Tensor:
    return torch.maximum(x, x / 8).clamp(-TOP, TOP)


def _mixed(x: Tensor, weights: Weights, name: str) -> Tensor:
    n, h, w, channels = x.shape
    return torch.baddbmm(weights[f"{name}_bias"][:, None], x.reshape(n, h * w, channels), weights[name]).reshape(n, h, w, -1)


def _spread(x: Tensor, weights: Weights, name: str) -> Tensor:
    kernel, (h, w), wide = weights[name][:, :, None, None], x.shape[1:3], _wide(x)
    found = sum(_moved(wide, i, h, w) * kernel[:, i] for i in range(9))
    return (found + weights[f"{name}_bias"][:, None, None]).clamp(-TOP, TOP)


def _wide(x: Tensor) -> Tensor:
    """Edges repeated."""
    x = torch.cat([x[:, :1], x, x[:, -1:]], 1)
    return torch.cat([x[:, :, :1], x, x[:, :, -1:]], 2)


def _moved(wide: Tensor, place: int, h: int, w: int) -> Tensor:
    """The neighbours at one of 3 x 3 places."""
    return wide[:, place // 3 : place // 3 + h, place % 3 : place % 3 + w]
