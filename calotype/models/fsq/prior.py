"""The prior of few indices: each bit's probability mixed from several contexts, in exact integers.

    channels in their order, each in rows: neighbours, earlier channels, the coarser scale -> contexts -> probabilities mixed
    (overfit/mixing_kernels.py) -> bits -> binary coder

Source: Mahoney, "Adaptive weighing of context models for lossless data compression" (2005). Different: probabilities and
weights are shipped, learnt from photos; each picture goes on from them. As channels come one after the other, the stream of a
few of them is where that of more begins: more channels never take fewer bytes.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import NamedTuple

import numpy as np

from ...entropy import binary
from ...errors import CorruptStreamError
from ..overfit.mixing import Mixing, tables
from .config import FsqConfig

LIMIT = 255  # bits that a probability is worth at most
RATE = 4  # of the mixers
SURE = 60  # bits that a shipped probability is worth at most, so that pictures can change it
ROUNDS = 2  # over the pictures that a start is learnt from


class Indices(NamedTuple):
    """coarse (C, h / 2, w / 2), fine (F, h, w): int32, of channels that are not coded 0."""

    coarse: np.ndarray
    fine: np.ndarray


class Coded(NamedTuple):
    """The bytes, and about what bits they should be."""

    data: bytes
    bits: float


def blank(config: FsqConfig) -> Mixing:
    """A start that knows nothing."""
    k = kernels()
    return Mixing.even(config.channels * k.CONTEXTS, config.channels * k.SETS, k.NODES, k.MAPS, k.MAPS + 1)


def sides(height: int, width: int) -> tuple[int, int]:
    """Rows and columns of the coarse indices of so many pixels."""
    return -(-height // 32), -(-width // 32)


@dataclass(frozen=True)
class Prior:
    """start: what pictures start from, which does not change."""

    config: FsqConfig
    start: Mixing

    def checked(self) -> Prior:
        """Itself. Raises ValueError where the start is none of these sizes."""
        self.start.checked(blank(self.config), LIMIT)
        return self

    def encode(self, indices: Indices, count: int) -> Coded:
        """Code the first `count` channels."""
        planes, coder, learnt = _padded(indices), binary.encoding(), self.start.copy()
        room = sum(part[0].size for part in planes) * count * kernels().BYTES_AN_INDEX
        buffer = np.zeros(room + binary.REGISTER_BYTES, np.uint8)
        bits = _walk(self.config, planes, count, coder, buffer, learnt, kernels().WRITE)
        return Coded(buffer[: coder[2]].tobytes() + binary.ending(coder), bits)

    def decode(self, data: bytes | memoryview, shape: tuple[int, int], count: int) -> Indices:
        """What was encoded; shape: rows and columns of the coarse indices. Raises CorruptStreamError."""
        stream = np.frombuffer(data, np.uint8).copy()
        empty = [np.zeros((n, *(s * times for s in shape)), np.int32) for n, times in _scales(self.config)]
        planes, coder = _padded(Indices(*empty)), binary.decoding(stream)
        _walk(self.config, planes, count, coder, stream, self.start.copy(), kernels().READ)
        if not binary.ended(coder, stream):
            raise CorruptStreamError("a picture's indices do not end with the last channel: the file is damaged")
        margin = kernels().MARGIN
        return Indices(*(np.ascontiguousarray(p[:, margin:-margin, margin:-margin]) for p in planes))


def learnt(config: FsqConfig, pictures: Iterable[Indices]) -> tuple[Prior, float]:
    """A start from the indices of pictures, in their order, twice; and the bits of the second time."""
    known, pictures = blank(config), list(pictures)
    for _ in range(ROUNDS):
        bits = sum(
            _walk(config, _padded(p), config.channels, binary.encoding(), np.zeros(0, np.uint8), known, kernels().LEARN)
            for p in pictures
        )
    known.maps[..., 1] = np.minimum(known.maps[..., 1], SURE)
    return Prior(config, known), bits


def _scales(config: FsqConfig) -> tuple[tuple[int, int], tuple[int, int]]:
    """(channels, places to a coarse one's side) of each scale."""
    return (config.coarse, 1), (config.fine, 2)


def _padded(indices: Indices) -> list[np.ndarray]:
    margin = kernels().MARGIN
    return [np.pad(np.asarray(part, np.int32), ((0, 0), (margin, margin), (margin, margin))) for part in indices]


def _walk(
    config: FsqConfig, planes: list[np.ndarray], count: int, coder: np.ndarray, buffer: np.ndarray, known: Mixing, mode: int
) -> float:
    """Code the first `count` channels, learning on in `known`; returns bits. Raises CorruptStreamError."""
    k, cost, none = kernels(), 0, np.zeros((0, 0, 0), np.int32)
    model = known.maps, known.weights, *tables(LIMIT), RATE
    for number in range(count):
        scale = int(number >= config.coarse)
        own, parents, c = planes[scale], (none, planes[0])[scale], number - scale * config.coarse
        cost += k.code_channel(
            coder, buffer, own, parents, number, c, config.tops[number], *model, mode
        )
        if mode == k.READ and coder[2] - len(buffer) > binary.REGISTER_BYTES:
            raise CorruptStreamError("a picture's indices end before the last channel: the file is damaged")
    return cost / 256


@cache
def kernels() -> ModuleType:
    """The compiled loop; numba is imported here, at the first use."""
    return importlib.import_module("calotype.models.fsq.prior_kernels")
