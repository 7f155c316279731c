"""Fitting a picture's network to its bits. Imports torch.

    loss = bits of all samples by the network + bits of its weights, a sample

Each step sees some places, all bits of which are guessed at once: those above are those of the picture, as in decoding.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from .. import threads
from ..models.neural import nirvana
from ..models.neural.bitplane import AROUND, ENDS, LOGIT_FRACTION, MIDDLE, SAMPLE_FRACTION, UNIT, BitNet, Plan
from ..models.neural.fitnet import FitNet
from ..models.neural.stack import LEVEL_FRACTION
from .neural.fitting import Budget, descend
from .overfit import State

STEPS = (30, 125, 250, 500, 1000, 2000, 4000, 8000, 16000, 32000)  # by effort
LEARNING = 2e-2
BITS = 6144  # guessed at in a step
_SMOOTH = 0.02  # of a step's bits in what is told
TOP = (ENDS[1] + 1) / UNIT


def fit(
    samples: np.ndarray,
    depth: int,
    effort: int,
    minutes: float | None,
    device: str,
    report: Callable[[State], None] | None = None,
) -> BitNet:
    """A network for samples, int32 (H, W, channels) of `depth` bits. KeyboardInterrupt ends the fit early."""
    threads.apply()
    started = time.monotonic()
    found = _Fit(samples, depth, device)
    seen: list[float] = []

    def told(step: int, bits: float, weights: float, share: float) -> None:
        seen[:] = [bits if not seen else seen[0] + _SMOOTH * (bits - seen[0])]
        if report:
            spent, done = time.monotonic() - started, min(max(share, 1e-6), 1.0)  # the last step may end after the time
            bpp = (seen[0] * samples.size + weights) / found.pixels
            report(State(None, bpp, round(1000 * done), 1000, spent, spent / done - spent))

    budget = Budget(STEPS[effort], None if minutes is None else 60 * minutes, told)
    descend(found.nets, [{"params": found.parameters, "scale": 1.0}], LEARNING, budget, found.loss)
    trunk, *heads = (net.layers() for net in found.nets)
    return BitNet(found.plan, depth, trunk, heads)


class _Fit:
    """A picture and the networks that are fitted to it."""

    def __init__(self, samples: np.ndarray, depth: int, device: str):
        self.height, self.width, self.channels = samples.shape
        self.pixels, self.depth, self.device = self.height * self.width, depth, torch.device(device)
        self.plan = Plan.choose(self.height, self.width)
        self._random = torch.Generator().manual_seed(0)
        trunk = FitNet(self.plan.trunk(self.channels), random=self._random)
        heads = [FitNet(self.plan.head(self.channels, depth), random=self._random) for _ in range(self.channels)]
        means = torch.from_numpy(samples.mean((0, 1)) / (1 << depth)).float()
        trunk.biases[-1].data[: self.channels] = (2 * means - 1) * MIDDLE / (1 << LEVEL_FRACTION)
        self.nets = [net.to(self.device) for net in (trunk, *heads)]
        self.parameters = [parameter for net in self.nets for parameter in net.parameters()]
        self.samples = torch.from_numpy(np.pad(samples, ((1, 1), (1, 1), (0, 0)), mode="edge"))

    def loss(self) -> tuple[Tensor, float, float]:
        """Bits a sample with those of the weights; then, for who is told, without them, and bits of all weights."""
        count = max(BITS // (self.channels * self.depth), 1)
        bits = self.bits(torch.randint(self.pixels, (count,), generator=self._random))
        weights = torch.stack([net.bits() for net in self.nets]).sum()
        return bits + weights / (self.pixels * self.channels), float(bits.detach()), float(weights.detach())

    def bits(self, at: Tensor) -> Tensor:
        """Bits a sample of places, raster indices (N,), without those of the weights."""
        y, x = at // self.width, at % self.width
        basis = nirvana.basis(self.height, self.width, self.plan.inputs, (y.numpy(), x.numpy()))
        found = self._run(self.nets[0], torch.from_numpy(basis).float() / UNIT).clamp(*ENDS)
        picture = ((found[:, : self.channels] + MIDDLE) / (1 << SAMPLE_FRACTION))[:, None] * 2.0 ** (self.depth - 8)
        features = found[:, self.channels :] / UNIT
        steps = torch.arange(3)
        around = self.samples[(y[:, None] + steps)[:, :, None], (x[:, None] + steps)[:, None]]  # (N, 3, 3, channels)
        around = around.reshape(len(at), 1, AROUND, self.channels).transpose(2, 3)
        total = torch.zeros((), device=self.device)
        for channel in range(self.channels):
            total = total + self._bits_of(channel, around, picture, features)
        return total / (len(at) * self.channels)

    def _bits_of(self, channel: int, around: Tensor, picture: Tensor, features: Tensor) -> Tensor:
        """Bits of a channel, of all planes. around: integers (N, 1, channels, AROUND); picture: (N, 1, channels)."""
        index = torch.arange(self.depth, dtype=torch.int32)[:, None, None]
        known = index + (torch.arange(self.channels) >= channel).int()[:, None]  # lowest bits, (depth, channels, 1)
        centres = ((around >> known << known) + ((1 << known) - 1) / 2).to(self.device)  # (N, depth, channels, AROUND)
        seen = centres - centres[:, :, channel, AROUND // 2, None, None]
        own = picture - centres[..., AROUND // 2]
        seen = torch.cat([seen[..., : AROUND // 2], own[..., None], seen[..., AROUND // 2 + 1 :]], -1)
        seen = (seen * (0.5**index).to(self.device)).clamp(-TOP, TOP).flatten(2)
        count = len(around)
        planes = torch.eye(self.depth, device=self.device).expand(count, -1, -1)
        whole = torch.cat([seen, features[:, None].expand(-1, self.depth, -1), planes], -1)
        logits = self._run(self.nets[1 + channel], whole.flatten(0, 1)) / (1 << LOGIT_FRACTION)
        wanted = (around[:, 0, channel, AROUND // 2, None] >> torch.arange(self.depth) & 1).to(logits)
        return binary_cross_entropy_with_logits(logits, wanted.reshape(-1, 1), reduction="sum") / math.log(2)

    @staticmethod
    def _run(net: FitNet, x: Tensor) -> Tensor:
        """(N, inputs) activations to (N, outputs) levels."""
        return net(x.t()[None, :, :, None])[0, :, :, 0].t()
