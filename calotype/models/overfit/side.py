"""What an overfitted picture states beside its latents: its step, and its differences to the shipped networks.

    step u16 | length varint | present grids, gains, shrinks, colours, which networks differ, their differences, strengths | ...

The middle part is integers through the weight coder (entropy/weights.py), mostly zeros: some ten bytes where nothing differs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ...entropy.weights import WeightDecoder, WeightEncoder
from ...errors import CorruptStreamError
from . import synthesis
from .bundle import OverfitBundle
from .cellnet import FINE
from .modulation import moved
from .prior import SHAPES as PRIOR_SHAPES
from .prior import Prior
from .sizes import GRIDS, PLANES
from .synthesis import Synthesis

GAIN_STEP = 4  # of differences in gains and shrinks
COLOUR_STEP = 16
WEIGHT_STEP, BIAS_STEP = 16, 256  # of networks
DIFFERENCE_TOP = 1 << 15


@dataclass(frozen=True)
class Side:
    """step: in 1/64 level. present: (GRIDS,) bool. The others are differences, in steps of the constants above: gains, shrinks
    (GRIDS,), colours (3, 3), networks {"filter.leave": ...}, those that are not all zero. strengths: of the filters by class,
    one a plane, where the start has them; choice: which of its nets filters, there; amounts: of how far in each of that net's
    directions, where it has some."""

    step: int
    present: np.ndarray
    gains: np.ndarray
    shrinks: np.ndarray
    colours: np.ndarray
    networks: dict[str, np.ndarray]
    strengths: tuple[int, ...] = ()
    choice: int = 0
    amounts: tuple[int, ...] = ()

    @staticmethod
    def plain(step: int) -> Side:
        """No differences, all grids."""
        zeros = np.zeros(GRIDS, np.int64)
        return Side(step, np.ones(GRIDS, bool), zeros, zeros, np.zeros((3, 3), np.int64), {})

    def to_bytes(self) -> bytes:
        """What `from_bytes` reads; without step and length."""
        coder = WeightEncoder()
        for row in (self.present.astype(np.int64), self.gains, self.shrinks):
            coder.encode(row[None])
        coder.encode(self.colours)
        networks = {name: self.networks[name] for name in _shapes() if name in self.networks and self.networks[name].any()}
        coder.encode(np.array([[name in networks for name in _shapes()]], np.int64))
        for array in networks.values():
            coder.encode(array.reshape(-1, array.shape[-1]))
        if self.strengths:
            coder.encode(np.array([[self.choice, *self.strengths]], np.int64))
        if self.amounts:
            coder.encode(np.array([self.amounts], np.int64))
        return coder.finish()

    @staticmethod
    def from_bytes(step: int, data: bytes, strengths: bool = False, counts: Sequence[int] = ()) -> Side:
        """strengths: whether the start has filters by class; counts: how many directions each of its nets has. Raises
        CorruptStreamError."""
        coder = WeightDecoder(data)
        present, gains, shrinks = (coder.decode(1, GRIDS)[0] for _ in range(3))
        colours = coder.decode(3, 3)
        flags = coder.decode(1, len(_shapes()))[0]
        networks = {}
        for (name, shape), flag in zip(_shapes().items(), flags, strict=True):
            if flag:
                networks[name] = coder.decode(int(np.prod(shape[:-1])), shape[-1]).reshape(shape)
        choice, *strong = coder.decode(1, 1 + PLANES)[0].tolist() if strengths else (0,)
        count = counts[choice] if 0 <= choice < len(counts) else 0
        amounts = coder.decode(1, count)[0] if count else np.zeros(0, np.int64)
        coder.finish()
        bits = np.concatenate([present, flags])
        numbers = np.concatenate([gains, shrinks, amounts, colours.reshape(-1), *(n.reshape(-1) for n in networks.values())])
        if bits.min() < 0 or bits.max() > 1 or np.abs(numbers).max() > DIFFERENCE_TOP:
            raise CorruptStreamError("a picture's own networks are out of range: the file is damaged")
        rest = networks, tuple(strong), choice, tuple(amounts.tolist())
        return Side(step, present.astype(bool), gains, shrinks, colours, *rest)

    def numbers(self, told: bool) -> np.ndarray:
        """int32: all of it, in order; what a start with filters by class hashes behind the latents. told: with which networks
        differ, which `overfit-s.4` leaves to the checksum."""
        flags = [name in self.networks for name in _shapes()]
        parts = [[self.step], self.present, self.gains, self.shrinks, self.colours, flags if told else []]
        parts += [[self.choice, *self.strengths, *self.amounts]]
        parts += [self.networks[name] for name, flag in zip(_shapes(), flags, strict=True) if flag]
        return np.concatenate([np.asarray(part, np.int32).reshape(-1) for part in parts])

    def applied(self, bundle: OverfitBundle) -> tuple[Prior, Synthesis]:
        """The picture's own networks. Raises CorruptStreamError where they pass the bounds of integer arithmetic."""
        if not 0 <= self.choice < len(bundle.filters):
            raise CorruptStreamError("a picture's choice of a filter is out of range: the file is damaged")
        start, net, directions = bundle.synthesis, bundle.filters[self.choice], bundle.directions[self.choice]
        net = moved(net, directions, self.amounts) if directions and self.amounts else net
        own = {name: (array * network_step(name)).astype(np.int32) for name, array in self.networks.items()}
        prior = {k: v + own.get(f"prior.{k}", np.int32(0)) for k, v in bundle.prior.arrays.items()}
        filters = {k: v + own.get(f"filter.{k}", np.int32(0)) for k, v in net.items()}
        try:
            return replace(bundle.prior, arrays=prior).checked(), Synthesis(
                filters,
                start.gains + GAIN_STEP * self.gains,
                start.shrinks + GAIN_STEP * self.shrinks,
                start.colours + COLOUR_STEP * self.colours,
                self.step,
                start.classes,
                self.strengths or (0,) * PLANES,
            ).checked()
        except ValueError as e:
            raise CorruptStreamError(f"a picture's own networks are out of range ({e}): the file is damaged") from e


def network_step(name: str) -> int:
    """Unit of differences to a network's array."""
    return BIAS_STEP if name.endswith("bias") else WEIGHT_STEP


def _shapes() -> dict[str, tuple[int, ...]]:
    prior = {f"prior.{k}": shape for k, shape in PRIOR_SHAPES.items()}
    return prior | {f"filter.{k}": shape for k, shape in FINE.shapes().items()}


STEP_TOP = synthesis.STEP_TOP
