"""Fitting a group's network to its frames. Imports torch.

    loss = ln(squared error in RGB) + RATE * bits / bits asked for

At a given number of bits more of a clip's error is a factor, not a sum, so that one weight, RATE, serves at every rate: where
PSNR rises by some 3 dB for twice the bits, ln(error) falls by RATE for as many bits as were asked for. Weights are rounded in
the forward pass, and their bits counted, from the share ROUNDED of a fit on.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ... import threads
from ...models.neural.coding import Stack
from ...models.neural.fitnet import FitNet, laplace_bits, rounded
from ...models.neural.hnerv import SYMBOL_SHIFT, SYMBOL_TOP
from ...models.neural.stack import ACT_FRACTION, Shape
from ..header import Colour
from ..video.colour import TO_RGB

RATE = 0.7
ROUNDED = 0.4
WARM = 0.03  # share of a fit in which the rate of learning rises
LEARNING, LAST = 2e-2, 0.01  # rate of learning at most, of layers up to FULL wide, and its share at the end
FULL = 28
SYMBOL = 1 << SYMBOL_SHIFT  # in activations
BETAS = (0.9, 0.98)
_GRID_STARTS = 6.0  # symbols: standard deviation of a grid's first component


@dataclass
class Budget:
    """steps: of descent at most; seconds: at most so long, None for no end. told: (steps done, dB, bits, share of the fit that
    is over) after each. interrupted: Ctrl-C ended the fit."""

    steps: int
    seconds: float | None = None
    told: Callable[[int, float, float, float], None] = lambda done, db, bits, share: None
    interrupted: bool = False
    _started: float = field(default_factory=time.monotonic)

    def share(self, step: int) -> float:
        """How much of the fit is over: 0 to 1."""
        share = step / max(self.steps, 1)
        return share if self.seconds is None else max(share, (time.monotonic() - self._started) / self.seconds)


def error_root(colour: Colour) -> np.ndarray:
    """(6, 6) R with |R e|^2 the mean squared RGB error of a cell's pixels, of errors e of its six samples."""
    _, y, rv, gu, gv, bu = TO_RGB[colour.matrix, colour.range]
    rows = [[y * (k == pixel) for k in range(4)] + chroma for pixel in range(4) for chroma in ([0, rv], [gu, gv], [bu, 0])]
    matrix = np.array(rows, np.float64) / 65536
    return np.linalg.cholesky(matrix.T @ matrix / len(rows)).T


class Fit:
    """A group being fitted."""

    def __init__(
        self,
        shapes: Sequence[Shape],
        goal: np.ndarray,
        colour: Colour,
        bits: float,
        device: str,
        grid: np.ndarray | None = None,
        symbols: np.ndarray | None = None,
        base: Stack | None = None,
        seed: int = 0,
    ):
        """goal: (N, h, w, 6 M) uint8, N inputs of the stack and M frames for each. bits: asked for. grid: (N, C, h, w) fixed
        activations, or symbols, (N, E, h, w) floats, where fitted grids begin. base: the layers that this begins at."""
        threads.apply()
        self._random = torch.Generator().manual_seed(seed)
        self.device, self.asked = torch.device(device), bits
        self.net = FitNet(shapes, base, self._random).to(self.device)
        self.goal = torch.from_numpy(np.ascontiguousarray(goal.transpose(0, 3, 1, 2)))
        self.root = torch.from_numpy(error_root(colour)).float().to(self.device)
        self.grid = None if grid is None else torch.from_numpy(grid).float().to(self.device)
        self.symbols = None if symbols is None else nn.Parameter(torch.from_numpy(symbols).float().to(self.device))
        if base is None:
            means = torch.from_numpy(goal.reshape(-1, goal.shape[-1]).mean(0) / 64).float()
            self.net.biases[-1].data.copy_(means.to(self.device))

    def run(self, budget: Budget, batch: int = 1) -> None:
        """Descend. batch: inputs a step. KeyboardInterrupt ends it early."""
        groups = [{"params": list(self.net.parameters()), "scale": 1.0}]
        if self.symbols is not None:
            groups.append({"params": [self.symbols], "scale": 16.0})  # a symbol is a quarter
        order = self._orders(batch)
        most = LEARNING * min(1.0, math.sqrt(FULL / max(shape.outputs for shape in self.net.shapes)))

        def loss() -> tuple[Tensor, float, float]:
            error, bits = self.error(next(order)), self.bits()
            return error.log() + RATE * bits / self.asked, _db(float(error.detach())), float(bits.detach())

        descend([self.net], groups, most, budget, loss)

    def bits(self) -> Tensor:
        """Estimated, of all that is fitted."""
        found = self.net.bits()
        if self.symbols is not None:
            found = found + laplace_bits(self.symbols, (0, 2, 3))
        return found

    def error(self, chosen: Tensor) -> Tensor:
        """Mean squared error in RGB of some inputs' frames, as if nothing were cut at black and white."""
        if self.symbols is None:
            assert self.grid is not None
            x = self.grid[chosen]
        else:
            x = rounded(self.symbols[chosen].clamp(-SYMBOL_TOP, SYMBOL_TOP), 1.0) * (SYMBOL / (1 << ACT_FRACTION))
        goal = self.goal[chosen].to(self.device).float()
        height, width = goal.shape[2:]
        difference = self.net(x)[:, :, :height, :width] - goal
        cells = difference.unflatten(1, (-1, self.root.shape[1]))
        return torch.einsum("rs,nmshw->nmrhw", self.root, cells).square().sum(2).mean() + 1e-3

    def _orders(self, batch: int) -> Iterator[Tensor]:
        """Indices of inputs, a batch after the other, all of them before any comes again."""
        waiting: list[int] = []
        while True:
            while len(waiting) < batch:
                waiting += torch.randperm(len(self.goal), generator=self._random).tolist()
            chosen, waiting = waiting[:batch], waiting[batch:]
            yield torch.tensor(chosen)

    def chosen_symbols(self) -> np.ndarray:
        """int64 (N, h, w, E)."""
        assert self.symbols is not None
        whole = self.symbols.detach().round().clamp(-SYMBOL_TOP, SYMBOL_TOP).cpu().numpy()
        return whole.transpose(0, 2, 3, 1).astype(np.int64)


def descend(
    nets: Sequence[FitNet],
    groups: list[dict[str, Any]],
    most: float,
    budget: Budget,
    loss: Callable[[], tuple[Tensor, float, float]],
) -> None:
    """Descend for as long as the budget says. groups: parameters, each with a `scale` of the rate of learning, which is `most`
    at most; loss: of the next step, and the two numbers that are told. KeyboardInterrupt ends it early."""
    optimiser = torch.optim.Adam(groups, lr=most, betas=BETAS)
    try:
        for step in range(budget.steps):
            share = budget.share(step)
            if share >= 1:
                break
            if share >= ROUNDED and not nets[0].rounding:
                for net in nets:
                    net.fix()
                optimiser.state.clear()  # the loss is another now
            rate = most * min(1.0, (share + 1e-3) / WARM) * (LAST + (1 - LAST) * 0.5 * (1 + math.cos(math.pi * share)))
            for group in optimiser.param_groups:
                group["lr"] = rate * group["scale"]
            value, first, second = loss()
            optimiser.zero_grad(set_to_none=True)
            value.backward()
            optimiser.step()
            budget.told(step + 1, first, second, budget.share(step + 1))
    except KeyboardInterrupt:
        budget.interrupted = True


def first_symbols(cells: np.ndarray, stride: int, inputs: int) -> np.ndarray:
    """(N, inputs, h, w) floats: the principal components of what the blocks of frames (N, H, W, 6) look like from afar."""
    count, height, width, samples = cells.shape
    rows, columns = -(-height // stride), -(-width // stride)
    pad = ((0, 0), (0, rows * stride - height), (0, columns * stride - width), (0, 0))
    parts = min(stride, 4)
    fine = np.pad(cells, pad, mode="edge").astype(np.float32)
    fine = fine.reshape(count, rows * parts, stride // parts, columns * parts, stride // parts, samples).mean((2, 4))
    blocks = fine.reshape(count, rows, parts, columns, parts, samples).transpose(0, 1, 3, 2, 4, 5)
    flat = blocks.reshape(count * rows * columns, -1)
    flat = flat - flat.mean(0)
    values, vectors = np.linalg.eigh((flat.T @ flat).astype(np.float64))
    most = min(inputs, len(values))
    found = np.zeros((len(flat), inputs), np.float32)
    found[:, :most] = flat @ vectors[:, ::-1][:, :most]
    spread = np.maximum(found.std(0), 1e-6)
    found *= _GRID_STARTS / spread * np.sqrt(spread / spread[0])
    return found.reshape(count, rows, columns, inputs).transpose(0, 3, 1, 2)


def _db(error: float) -> float:
    return 10 * math.log10(255**2 / max(error, 1e-9))
