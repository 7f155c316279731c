"""The prior of an inter frame's latents, which goes on from frame to frame.

    memory of the reference (probabilities, weights of the means) -> bits: which grids are there, their latents -> memory

As prior.py, which it runs; besides, it sees the prediction and the frame before (`residual.context`), and it starts where the
reference ended: so what Cool-chic sends of its networks with each frame is learnt on both sides.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from ... import threads
from ...entropy import binary
from ...errors import CorruptStreamError
from . import prior, residual
from .mixing import Mixing
from .prior import Prior, Walk
from .residual import HALF, Form
from .sizes import GRIDS, NETS

SURE = 255  # bits that a remembered probability is worth at most
Seen = Callable[[int], np.ndarray]


class Memory(NamedTuple):
    """chances: as of `Prior`, int32; means: int64, weights with more bits, that a `Walk` learnt; mixing: of a prior that mixes;
    motion: the same of the frame's motion, where it is in the stream of its latents."""

    chances: np.ndarray
    means: np.ndarray
    mixing: Mixing | None = None
    motion: Mixing | None = None


class Frame(NamedTuple):
    """grids: latents of all grids; bits: their cost; data: what codes them, of an encoder; memory: what was learnt."""

    grids: list[np.ndarray]
    bits: float
    data: bytes
    memory: Memory


def encode(
    own: Prior,
    memory: Memory | None,
    coder: np.ndarray,
    grids: list[np.ndarray],
    seen: Seen,
    height: int,
    width: int,
    form: Form = HALF,
) -> Frame:
    """Code a frame's grids, to the stream's end. memory: of its reference, None where it has none; coder: of `binary`, at the
    start of a buffer; form: of the planes."""
    k = prior.kernels()
    present = prior.present_of(grids)
    walk = _walk(own, memory, present, height, width, seen)
    size = sum(g.size for g, p in zip(grids, present, strict=True) if p)
    buffer = np.zeros(prior.BYTES_A_LATENT * (size + GRIDS) + 8, np.uint8)
    there = present.astype(np.uint8)
    cost = k.code_flags(coder, buffer, k.ENCODE, walk.models, NETS * k.CONTEXTS, residual.possible(form), there)
    values, bits = walk.run(coder, buffer, k.ENCODE, lambda number: grids[number])
    return Frame(values, bits + cost / 256, buffer[: coder[2]].tobytes() + binary.ending(coder), _memory(walk))


def decode(
    own: Prior,
    memory: Memory | None,
    coder: np.ndarray,
    buffer: np.ndarray,
    seen: Seen,
    height: int,
    width: int,
    form: Form = HALF,
) -> Frame:
    """What was encoded; coder: where in buffer, uint8 (n,), the latents begin. Raises CorruptStreamError."""
    k, present = prior.kernels(), np.zeros(GRIDS, np.uint8)

    def check() -> None:
        if coder[2] - len(buffer) > binary.REGISTER_BYTES:
            raise CorruptStreamError("a frame's latents end before the last one: the file is damaged")

    walk = _walk(own, memory, present, height, width, seen)
    k.code_flags(coder, buffer, k.DECODE, walk.models, NETS * k.CONTEXTS, residual.possible(form), present)
    with threads.ahead(seen, np.flatnonzero(present).tolist()) as walk.seen:
        values, bits = walk.run(coder, buffer, k.DECODE, check=check)
    if not binary.ended(coder, buffer):
        raise CorruptStreamError("a frame's latents do not end with the last one: the file is damaged")
    return Frame(values, bits, b"", _memory(walk))


def choose(
    own: Prior,
    memory: Memory | None,
    targets: list[np.ndarray],
    lmbdas: np.ndarray,
    room: float,
    seen: Seen,
    height: int,
    width: int,
    effects: list[np.ndarray] | None = None,
    form: Form = HALF,
) -> Frame:
    """Round targets to latents as `prior.choose`; grids with no target above a half stay empty."""
    some = np.array([t.size > 0 and float(np.abs(t).max()) > 0.5 for t in targets])
    walk = _walk(own, memory, some & residual.possible(form).astype(bool), height, width, seen)
    values, bits = prior.chosen(walk, targets, lmbdas, np.zeros(GRIDS), room, effects)
    return Frame(values, bits, b"", _memory(walk))


def _walk(
    own: Prior,
    memory: Memory | None,
    present: np.ndarray,
    height: int,
    width: int,
    seen: Seen,
) -> Walk:
    if memory is not None:
        own = replace(own, chances=memory.chances, mixing=memory.mixing)
    walk = Walk(own, present, height, width, seen)
    if memory is not None:
        walk.means = memory.means.copy()
    return walk


def _memory(walk: Walk) -> Memory:
    chances = walk.models.copy()
    chances[:, 1] = np.minimum(chances[:, 1], SURE)
    return Memory(chances, walk.means, walk.mixing)
