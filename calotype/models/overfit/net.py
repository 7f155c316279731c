"""The float twin of synthesis.py, for fitting: the same function of the latents, with gradients. Imports torch."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from . import cellnet
from .cellnet import BIAS_FRACTION, WEIGHT_FRACTION, CellNet
from .layout import Grid, order
from .modulation import SHIFT, Directions
from .sizes import GRIDS, LEVELS, PLANES, REST
from .synthesis import GAIN_UNIT
from .wavelet import SCALE, STEPS

TOP = 2047 / 64
HALF = 1 << (WEIGHT_FRACTION - 1)  # in biases, so that the decoder's shifts round


class SynthesisNet(nn.Module):
    """The filter's nets, in float: planes (B, 3, H, W) in steps, sides multiples of PAD, to the same shape, filtered."""

    def __init__(self) -> None:
        super().__init__()
        self.fine: Twin = Twin(cellnet.FINE)
        self.coarse: Twin | None = None

    def forward(self, planes: Tensor) -> Tensor:
        return self.fine(self.coarsened(planes))

    def coarsened(self, planes: Tensor) -> Tensor:
        """What the fine net is given."""
        return planes if self.coarse is None else self.coarse(planes)

    def to_integers(self) -> dict[str, np.ndarray]:
        """The nearest arrays of `Synthesis`."""
        return self.fine.to_integers() | ({} if self.coarse is None else self.coarse.to_integers())

    def from_integers(self, arrays: dict[str, np.ndarray]) -> None:
        """Take the values of arrays of `Synthesis`, and the coarse net where they have one."""
        coarse = cellnet.coarse(arrays)
        if coarse != (self.coarse and self.coarse.net):
            self.coarse = Twin(coarse).to(self.fine.enter.device).requires_grad_(False) if coarse else None
        for twin in self.children():
            twin.from_integers(arrays)

    def from_directions(self, directions: Directions) -> dict[str, Tensor]:
        """What an amount of 1 adds in each direction: (count, *shape) by the names of parameters."""
        found = {}
        for part, twin in self.named_children():
            for name in twin.net.shapes():
                fraction = BIAS_FRACTION if name.endswith("bias") else WEIGHT_FRACTION
                values = torch.from_numpy(directions[name] / (1 << fraction + SHIFT))
                found[f"{part}.{twin.own(name)}"] = values.to(twin.enter.device, torch.float32)
        return found


class Twin(nn.Module):
    """Of a `CellNet`, parameters by its names; what it adds is zero at first."""

    def __init__(self, net: CellNet) -> None:
        super().__init__()
        self.net = net
        for name, shape in net.shapes().items():
            scale = 0.0 if name.endswith("bias") or name == net.prefix + "leave" else shape[0] ** -0.5
            self.register_parameter(self.own(name), nn.Parameter(torch.randn(shape) * scale))

    def own(self, name: str) -> str:
        """The parameter that an array of a `CellNet` is."""
        return name.removeprefix(self.net.prefix)

    def forward(self, planes: Tensor) -> Tensor:
        return planes + F.pixel_shuffle(_mix(self.hidden(planes), self.leave, self.leave_bias), self.net.side)

    def hidden(self, planes: Tensor) -> Tensor:
        """What the last layer sees: (B, width, H / side, W / side)."""
        area = self.net.side**2
        cells = F.pixel_unshuffle(planes, self.net.side)  # plane by plane
        b, _, h, w = cells.shape
        mean = cells.view(b, 3, area, h, w).mean(2)
        around = F.avg_pool2d(F.pad(mean, (1, 1, 1, 1), mode="replicate"), 3, 1)
        x = (cells - around.repeat_interleave(area, 1)).clamp(-TOP, TOP)
        x = _leaky(_mix(x, self.enter, self.enter_bias))
        for spread, mix in zip(self.net.spreads, self.net.mixes, strict=False):
            x = _leaky(_mix(self._spread(x, spread), getattr(self, mix), getattr(self, f"{mix}_bias")))
        return self._spread(x, self.net.spreads[-1])

    def _spread(self, x: Tensor, name: str) -> Tensor:
        kernel = getattr(self, name).t().reshape(-1, 1, 3, 3)
        x = F.conv2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), kernel, getattr(self, f"{name}_bias"), groups=x.shape[1])
        return x.clamp(-TOP, TOP)

    def to_integers(self) -> dict[str, np.ndarray]:
        """The nearest arrays of `Synthesis`."""
        found = {}
        for name in self.net.shapes():
            values = getattr(self, self.own(name)).detach().cpu().double().numpy()
            if name.endswith("bias"):
                found[name] = np.rint(values * (1 << BIAS_FRACTION)).astype(np.int32) + HALF
            else:
                found[name] = np.rint(values * (1 << WEIGHT_FRACTION)).astype(np.int32)
        return found

    def from_integers(self, arrays: dict[str, np.ndarray]) -> None:
        """Take the values of arrays of `Synthesis`."""
        with torch.no_grad():
            for name in self.net.shapes():
                bias = name.endswith("bias")
                values = (arrays[name] - HALF) / (1 << BIAS_FRACTION) if bias else arrays[name] / (1 << WEIGHT_FRACTION)
                getattr(self, self.own(name)).copy_(torch.from_numpy(values))


def _leaky(x: Tensor) -> Tensor:
    return F.leaky_relu(x, 0.125).clamp(-TOP, TOP)


def _mix(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return F.conv2d(x, weight.t()[:, :, None, None], bias)


def lift(coefficients: list[Tensor]) -> Tensor:
    """Coefficients, a float grid (h, w) each in the order of `layout.order`, to planes (3, H, W)."""
    parts = dict(zip(order(), coefficients, strict=True))
    return torch.stack([lift_plane(parts, p, 1) for p in range(PLANES)])


def lift_plane(parts: dict[Grid, Tensor], number: int, finest: int) -> Tensor:
    """The plane (H >> finest - 1, W >> finest - 1) of its coefficients from level `finest` on."""
    rest = parts[Grid(number, LEVELS, REST)]
    for level in range(LEVELS, finest - 1, -1):
        across, down, both = (parts[Grid(number, level, o)] for o in range(3))
        rest = _merge(_merge(rest, down, 0), _merge(across, both, 0), 1)
    return rest


def _merge(even: Tensor, odd: Tensor, axis: int) -> Tensor:
    """Two halves along an axis to one."""
    n = even.shape[axis]
    even, odd = even / SCALE, odd * -SCALE
    for k in (3, 1):
        even = even - STEPS[k] * (odd + torch.cat([odd.narrow(axis, 0, 1), odd.narrow(axis, 0, n - 1)], axis))
        odd = odd - STEPS[k - 1] * (even + torch.cat([even.narrow(axis, 1, n - 1), even.narrow(axis, n - 1, 1)], axis))
    shape = list(even.shape)
    shape[axis] *= 2
    return torch.stack([even, odd], axis + 1).reshape(shape)


def dequantised(grids: list[Tensor], gains: np.ndarray, shrinks: np.ndarray) -> list[Tensor]:
    """Latents to coefficients in steps, as the decoder makes them."""
    found = []
    for number in range(GRIDS):
        gain, shrink = float(gains[number]) / GAIN_UNIT, float(shrinks[number]) / GAIN_UNIT
        found.append(grids[number] * gain - grids[number].sign() * shrink)
    return found
