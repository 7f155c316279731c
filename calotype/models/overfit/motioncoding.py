"""Motion of an overfitted clip's inter frame, in the stream of its latents: mixed contexts that learn on from frame to frame.

    fieldcoding's walk: modes, differences of vectors -> contexts: its tables, the reference's field at that place, strides
                                                      -> probabilities mixed (mixing_kernels.py) -> bits -> binary coder

Source: Mahoney, "Adaptive weighing of context models for lossless data compression" (2005). Different: probabilities and
weights are shipped, and go on from the frame's reference, whose field the contexts see.
"""

from __future__ import annotations

import importlib
from functools import cache
from types import ModuleType
from typing import NamedTuple

import numpy as np

from ...entropy.binary import REGISTER_BYTES
from ...errors import CorruptStreamError
from ..motion.field import BOTH, INTRA, Field
from ..motion.fieldcoding import ERRORS, INTRA_TABLES, MODE_TABLES, SPREADS, VECTOR_TABLES, About, Kind, code
from . import prior
from .mixing import Mixing, tables
from .sizes import MAPS, MIXED

OFF = np.array([-20, -12, *range(-8, 9), 12, 20])  # classes of what the reference's vector is off the prediction
NONE = len(OFF) + 1  # the class where it has none
_LEVELS, _MODES = 5, INTRA + 2  # strides of the walk; modes, and none
_SPREADS, _ERRORS = len(SPREADS) + 1, len(ERRORS) + 2
# how many contexts each map has, by kind, one kind after the other
SIZES = {
    "intra": (INTRA_TABLES, _MODES, INTRA_TABLES * _MODES, _LEVELS, _MODES * _LEVELS, INTRA_TABLES * _LEVELS),
    "mode": (MODE_TABLES, _MODES * _LEVELS, 16, MODE_TABLES * _MODES, 256, _MODES),
    "vector": (
        VECTOR_TABLES,
        (NONE + 1) * 2 * _SPREADS,
        _SPREADS * _LEVELS * 2 * _MODES,
        (NONE + 1) * _ERRORS * 4,
        6 * 3 * 2 * 3,
        2 * _MODES * 4 * _SPREADS,
    ),
}
KINDS = tuple(SIZES)
_STARTS = {kind: sum(sum(SIZES[other]) for other in KINDS[:number]) for number, kind in enumerate(KINDS)}
# sets of weights: of each kind two
_SETS = {"intra": (0, _LEVELS), "mode": (10, 10 + _LEVELS), "vector": (20, 20 + 2 * _SPREADS)}
SETS = 20 + 2 * _SPREADS + 16
LIMIT = 1023  # bits that a probability is worth at most
RATE = 4  # of the mixers


class Coded(NamedTuple):
    """A field, its bits, what codes it in an encoder, and what was learnt."""

    field: Field
    bits: float
    data: bytes
    learnt: Mixing


def blank() -> Mixing:
    """What knows nothing."""
    return Mixing.even(sum(map(sum, SIZES.values())), SETS, kernels().NODES, MAPS, MIXED)


def encode(start: Mixing, before: Field | None, coder: np.ndarray, field: Field, references: int) -> Coded:
    """Code a field, going on from what was learnt of that of `before`. coder: of `binary`, which goes on."""
    buffer = np.zeros(kernels().BYTES_A_BLOCK * field.mode.size, np.uint8)
    coded = _run(
        start, before, coder, buffer, prior.kernels().ENCODE, field.shape, field.block, references, field.has_intra, field
    )
    data = buffer[: coder[2]].tobytes()
    coder[2] = 0
    return coded._replace(data=data)


def decode(
    start: Mixing,
    before: Field | None,
    coder: np.ndarray,
    buffer: np.ndarray,
    shape: tuple[int, int],
    block: int,
    references: int,
    has_intra: bool,
) -> Coded:
    """What was encoded. Raises CorruptStreamError."""
    return _run(start, before, coder, buffer, prior.kernels().DECODE, shape, block, references, has_intra)


def _run(
    start: Mixing,
    before: Field | None,
    coder: np.ndarray,
    buffer: np.ndarray,
    mode: int,
    shape: tuple[int, int],
    block: int,
    references: int,
    has_intra: bool,
    field: Field | None = None,
) -> Coded:
    learnt, place, cost = start.copy(), _Place(shape, block, before), 0

    def put(kind: Kind, symbols: np.ndarray | None, indexes: np.ndarray, about: About) -> np.ndarray:
        nonlocal cost
        given = np.zeros(len(indexes), np.int32) if symbols is None else np.ascontiguousarray(symbols, np.int32)
        seen = place.contexts(kind, indexes, about)
        cost += kernels().code_symbols(
            *(coder, buffer, mode, KINDS.index(kind), given, seen, learnt.maps, learnt.weights, *tables(LIMIT), RATE)
        )
        if mode == prior.kernels().DECODE and coder[2] - len(buffer) > REGISTER_BYTES:
            raise CorruptStreamError("a frame's motion ends before the last block: the file is damaged")
        return given

    found = code(shape, block, references, put, field, has_intra)
    return Coded(found, cost / 256, b"", learnt)


class _Place:
    """What a field's blocks are told by besides their neighbours; the numbers are those of docs/FORMAT.md, 5.7."""

    def __init__(self, shape: tuple[int, int], block: int, before: Field | None):
        """before: as of `encode`."""
        y, x = np.divmod(np.arange(shape[0] * shape[1]), shape[1])
        both = y | x | 1 << (_LEVELS - 1)
        self.level = np.searchsorted(1 << np.arange(_LEVELS), both & -both)  # the block's stride in the walk is 2^level
        self.mode, self.vectors = np.full(len(y), INTRA + 1), np.zeros((2, len(y), 2), np.int64)
        if before is not None:
            y, x = ((k * block + block // 2) // before.block for k in (y, x))
            self.mode, self.vectors = before.mode[y, x].astype(np.int64), before.vectors[:, y, x].astype(np.int64)

    def contexts(self, kind: Kind, indexes: np.ndarray, about: About) -> np.ndarray:
        """int64 (n, MAPS + 2), as of `mixing_kernels.mix`, of symbols whose tables are `indexes`."""
        level, mode = self.level[about.places], self.mode[about.places]
        if kind == "intra":
            parts = [indexes, mode, _MODES * indexes + mode, level, _LEVELS * mode + level, _LEVELS * indexes + level]
            sets = level, mode
        elif kind == "mode":
            near = np.full((4, len(indexes)), INTRA) if about.near is None else about.mode[about.near]
            two = near[0] + 4 * near[1]
            parts = [indexes, _MODES * level + mode, two, _MODES * indexes + mode, two + 16 * near[2] + 64 * near[3], mode]
            sets = level, mode
        else:
            parts, sets = self._of_vectors(indexes, about, level, mode)
        seen, start = np.empty((len(indexes), MAPS + 2), np.int64), _STARTS[kind]
        for i, (part, size) in enumerate(zip(parts, SIZES[kind], strict=True)):
            seen[:, i] = start + part
            start += size
        for i, (part, first) in enumerate(zip(sets, _SETS[kind], strict=True)):
            seen[:, MAPS + i] = (first + part) * kernels().NODES
        return seen

    def _of_vectors(
        self, indexes: np.ndarray, about: About, level: np.ndarray, mode: np.ndarray
    ) -> tuple[list[np.ndarray], tuple[np.ndarray, np.ndarray]]:
        """Contexts in each map, and in each set of weights, of differences."""
        motion = about.vectors
        assert motion is not None  # of kind "vector"
        which, c = motion.reference, motion.component
        # the vector of the other reference, where that is all there is
        which = np.where((mode == 1 - which) & (mode < BOTH), 1 - which, which)
        off = self.vectors[which, about.places] - motion.prediction
        there = mode < INTRA
        away = np.where(there, np.searchsorted(OFF, off[:, c]), NONE)
        if motion.error is None:
            missed, error = np.full(len(off), 3), np.zeros(len(off), np.int64)
        else:
            missed = np.where(there, np.minimum(np.abs(motion.error - off[:, 0]), 2), 3)
            error = 1 + np.searchsorted(ERRORS, np.abs(motion.error))
        spread, skew, gap = np.full((2, len(off)), _SPREADS - 1), np.ones(len(off), np.int64), np.zeros(len(off), np.int64)
        if motion.around is not None:
            a, b, d, e = motion.around[:, :, c]
            spread, gap, skew = motion.spread.T, np.minimum(d - b, 5), 1 + np.sign((e - d) - (b - a))
        zero = len(OFF) // 2
        side = np.where(away == zero, 2, away > zero)
        parts = [
            indexes,
            away + (NONE + 1) * (spread[c] + _SPREADS * c),
            spread[c] + _SPREADS * (level + _LEVELS * (c + 2 * mode)),
            away + (NONE + 1) * (error + _ERRORS * missed),
            gap + 6 * (skew + 3 * (c + 2 * side)),
            motion.reference + 2 * (mode + _MODES * (motion.mode + 4 * spread[1 - c])),
        ]
        near = np.where(away == NONE, 0, 1 + np.minimum(np.abs(away - zero), 2))
        return parts, (spread[c] + _SPREADS * c, near + 4 * missed)


@cache
def kernels() -> ModuleType:
    """The compiled loop; numba is imported here, at the first use."""
    return importlib.import_module("calotype.models.overfit.motion_kernels")
